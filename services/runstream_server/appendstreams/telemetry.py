"""What append streams tell Prometheus."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Any

from prometheus_client import Counter, Gauge, Histogram

from runstream_server.appendstreams.model import Append, Committed, Outcome

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000)

_OPEN = Gauge("runstream_append_open_streams", "Append streams that are open.", ["service"])
_BUDGET = Gauge("runstream_append_buffered_bytes", "Bytes read from append streams and not yet committed.", ["service"])
_COMMIT = Histogram(
    "runstream_append_commit_seconds", "How long a group took to commit.", ["service"], buckets=_SECONDS
)
_GROUP = Histogram("runstream_append_group_batches", "How many batches a group has.", ["service"], buckets=_SIZES)
_BATCHES = Counter("runstream_append_batches_total", "Batches that were committed.", ["service"])
_BYTES = Counter("runstream_append_bytes_total", "Bytes of batches that were committed.", ["service"])
_FAILED = Counter("runstream_append_failed_batches_total", "Batches that could not be committed.", ["service"])
_REFUSED = Counter("runstream_append_refused_values_total", "Values that were refused.", ["service"])
_REPEATED = Counter(
    "runstream_append_repeated_commits_total", "Commits repeated, the database not answering.", ["service"]
)
_AHEAD = Counter(
    "runstream_append_groups_ahead_total",
    "Groups that were begun before their turn: stored, or left to their turn.",
    ["service", "outcome"],
)


class AppendMetrics:
    """The metrics of the append streams of one service."""

    def __init__(self, service: str) -> None:
        self.open_streams = _OPEN.labels(service)
        self.buffered_bytes = _BUDGET.labels(service)
        self._seconds = _COMMIT.labels(service)
        self._group = _GROUP.labels(service)
        self._batches = _BATCHES.labels(service)
        self._bytes = _BYTES.labels(service)
        self._failed = _FAILED.labels(service)
        self._refused = _REFUSED.labels(service)
        self._repeated = _REPEATED.labels(service)
        self._ahead = {stored: _AHEAD.labels(service, "stored" if stored else "left") for stored in (True, False)}

    @contextmanager
    def commit(self) -> Iterator[None]:
        """Times the commit of a group."""
        begun = perf_counter()
        yield
        self._seconds.observe(perf_counter() - begun)

    def committed(self, appends: Sequence[Append[Any]], outcomes: Sequence[Outcome]) -> None:
        """Counts what became of a group."""
        committed = [
            (append, outcome)
            for append, outcome in zip(appends, outcomes, strict=True)
            if isinstance(outcome, Committed)
        ]
        self._group.observe(len(appends))
        self._batches.inc(len(committed))
        self._bytes.inc(sum(append.size_bytes for append, _ in committed))
        self._failed.inc(len(appends) - len(committed))
        self._refused.inc(sum(refusal.count for _, outcome in committed for refusal in outcome.refusals))

    def repeated(self) -> None:
        """Counts a repetition."""
        self._repeated.inc()

    def begun_ahead(self, *, stored: bool) -> None:
        """Counts a group that was begun before its turn."""
        self._ahead[stored].inc()
