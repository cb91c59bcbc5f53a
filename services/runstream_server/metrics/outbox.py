"""Tells the run history about changed summaries: from a durable outbox, so that none is forgotten."""

import asyncio
import logging
from collections.abc import Iterable, Iterator

from runstream_server.errors import RunstreamError
from runstream_server.metrics.model import Series
from runstream_server.metrics.outbox_store import OutboxStore
from runstream_server.names import RunName
from runstream_server.runhistory import MetricSummary, RunHistory

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_PAUSE_SECONDS = 0.25
_PAUSE_LIMIT_SECONDS = 5.0
_PAUSE_FOR_EACH_SECOND = 4.0
_SERIES_PER_SECOND = 2_000
_CALL_RUNS = 1_000
_CALL_BYTES = 512 * 1024
_SUMMARY_BYTES = 60


class SummaryOutbox:
    """Delivers what the transactions of any process marked; any number of processes may do so at once."""

    def __init__(self, store: OutboxStore, history: RunHistory) -> None:
        self._store = store
        self._history = history
        self._marked = asyncio.Event()

    def wake(self) -> None:
        """Says that this process committed a mark."""
        self._marked.set()

    async def run(self) -> None:
        """Delivers until cancelled, what this process marked at once, what others left within seconds."""
        loop = asyncio.get_running_loop()
        while True:
            begun = loop.time()
            try:
                if count := await self.deliver():
                    await asyncio.sleep(_pause(loop.time() - begun, count))  # what changes meanwhile is told once
                    continue
            except RunstreamError as error:
                logger.warning("summaries not delivered", extra={"reason": error.reason})
            except Exception:
                logger.exception("summaries not delivered")
            await self._wait()

    async def _wait(self) -> None:
        try:
            async with asyncio.timeout(_LOOK_SECONDS):
                await self._marked.wait()
        except TimeoutError:
            pass
        self._marked.clear()

    async def deliver(self) -> int:
        """Delivers one helping of marks; returns of how many series, or 0 if there was none.

        A helping that fails is delivered again later, by this process or another one: the run history keeps the
        summary with the highest revision.
        """
        marks = await self._store.claim()
        if not marks:
            return 0
        try:
            series = await self._store.marked_series(marks)
            for helping in _helpings(series):
                await self._history.record_summaries(helping)
        except BaseException:
            await asyncio.shield(self._store.release(marks))  # also when this process stops: others go on at once
            raise
        await self._store.delete(marks)
        return max(1, len(series))


def _pause(taken_seconds: float, series_count: int) -> float:
    """How long to wait after a helping, so that telling takes a small part of the time however many series change.

    To tell of a series costs about as much as to store a few numbers of it. So where thousands change several times a
    second each is told of every few seconds.
    """
    wanted = max(_PAUSE_SECONDS, _PAUSE_FOR_EACH_SECOND * taken_seconds, series_count / _SERIES_PER_SECOND)
    return min(wanted, _PAUSE_LIMIT_SECONDS)


def _helpings(series: Iterable[Series]) -> Iterator[dict[RunName, list[MetricSummary]]]:
    """Cuts series, sorted by run, into what one call takes."""
    helping: dict[RunName, list[MetricSummary]] = {}
    size = 0
    for each in series:
        if size > _CALL_BYTES or (each.run not in helping and len(helping) == _CALL_RUNS):
            yield helping
            helping, size = {}, 0
        helping.setdefault(each.run, []).append(_summary(each))
        size += _SUMMARY_BYTES + 4 * len(each.metric)
    if helping:
        yield helping


def _summary(series: Series) -> MetricSummary:
    return MetricSummary(series.metric, series.last, series.min, series.max, series.count, series.revision)
