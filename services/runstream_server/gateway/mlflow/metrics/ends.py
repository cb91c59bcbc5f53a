"""What is known of the ends of series, so that a value that comes again is recognised without reading all of them."""

from collections.abc import Iterable, Iterator

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.gateway.mlflow.runs.labels import Identity, LoggedMetric, identity

_BEFORE_ALL = -(1 << 63)
_NUMBERS = ("doubles", "int64s", "bools")

MOST_LOOKED_AT = 5_000
"""Values at the end of a series that are looked at first, and remembered, at most."""

_OF_RUN = 20_000
_LEAST = 20
"""Values of one run that are remembered together, and of each series whatever the others have."""


class SeriesEnd:
    """The last values of one series."""

    def __init__(self) -> None:
        self.index = 0
        """How many values the series had when it was looked at last."""

        self._time = _BEFORE_ALL
        """What was logged before that may be stored without being known here."""

        self._known: dict[Identity, None] = {}

    def __len__(self) -> int:
        return len(self._known)

    def has(self, metric: LoggedMetric) -> bool:
        """Whether a value is stored, as far as is known."""
        return metric.identity in self._known

    def knows_all_about(self, metric: LoggedMetric) -> bool:
        """Whether a value that is not known is not stored either: those before the known ones were logged earlier."""
        return metric.time >= self._time

    def learn(self, start_index: int, columns: messages.SeriesColumns) -> None:
        """Takes note of values that follow, perhaps with a gap, those that are known."""
        if start_index > self.index and columns.times:
            self._time = max(self._time, min(columns.times) + 1)
        self.index = start_index + len(columns.times)
        self._known.update(dict.fromkeys(identities(columns)))

    def forget(self, most: int) -> None:
        """Forgets the oldest of more than `most` values."""
        if len(self._known) > most:
            for known in list(self._known)[:-most]:
                self._time = max(self._time, known[1] + 1)
                del self._known[known]


class RunEnds:
    """The ends of the series of one run that it was logged to."""

    def __init__(self) -> None:
        self._series: dict[str, SeriesEnd] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, metric: str) -> SeriesEnd:
        return self._series[metric]

    def requests(self, run: str, metrics: Iterable[str]) -> Iterator[messages.ReadSeriesRequest]:
        """What to read so that the ends of some metrics are known as they are now."""
        known: list[str] = []
        new: list[str] = []
        for metric in sorted(set(metrics)):
            (known if metric in self._series else new).append(metric)
        if known:
            indexes = [self._series[metric].index for metric in known]
            most = self._most(len(self._series))
            yield messages.ReadSeriesRequest(runs=[run], metrics=known, start_indexes=indexes, last_count=most)
        if new:
            yield messages.ReadSeriesRequest(runs=[run], metrics=new, last_count=self._most(len(new)))

    def learn(self, response: messages.ReadSeriesResponse) -> None:
        """Takes note of what was read."""
        series = self._series.setdefault(response.columns.metric, SeriesEnd())
        self._count -= len(series)
        series.learn(response.start_index, response.columns)
        self._count += len(series)

    def complete(self, metrics: Iterable[str]) -> None:
        """Takes note that the ends of some metrics were read, and keeps to the bounds."""
        most = self._most(len(self._series))
        for metric in metrics:
            series = self._series.setdefault(metric, SeriesEnd())
            self._count -= len(series)
            series.forget(most)
            self._count += len(series)

    def shrink(self) -> None:
        """Forgets everything where that is much: metrics that are not logged to any more hold the most of it."""
        if self._count > 2 * _OF_RUN:
            self._series.clear()
            self._count = 0

    def _most(self, series_count: int) -> int:
        return max(_LEAST, min(MOST_LOOKED_AT, _OF_RUN // max(1, series_count)))


def identities(columns: messages.SeriesColumns) -> Iterator[Identity]:
    """What values are equal by; those that are no numbers or truth values are like none."""
    kind = columns.WhichOneof("values")
    if kind in _NUMBERS:
        for step, time, value in zip(columns.steps, columns.times, getattr(columns, kind).values, strict=True):
            yield identity(step, time, float(value))
