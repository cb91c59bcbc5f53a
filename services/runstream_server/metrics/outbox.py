"""Tells the run history about changed summaries: from a durable outbox, so that none is forgotten."""

import asyncio
import logging
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby

from runstream_server.errors import RunstreamError
from runstream_server.metrics.model import Series
from runstream_server.metrics.outbox_store import OutboxStore
from runstream_server.names import RunName
from runstream_server.runhistory import MetricSummary, RunHistory

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_PERIOD_SECONDS = 0.25
_LONGEST_PERIOD_SECONDS = 5.0
_PAUSE_FOR_EACH_SECOND = 4.0
_SERIES_PER_SECOND = 2_000
_HELPING_SERIES = 256
"""What a commit of a few milliseconds can wait for."""


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
                if await self.deliver():
                    await asyncio.sleep(begun + _PERIOD_SECONDS - loop.time())  # what changes meanwhile is told once
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

    async def deliver(self) -> bool:
        """Delivers what is marked, as it is when it is its turn; returns whether there was anything.

        What fails is delivered again later, by this process or another one: the run history keeps the summary with the
        highest revision.
        """
        marks = await self._store.claim()
        if not marks:
            return False
        try:
            changed = await self._store.marked_metrics(marks)
            total = sum(map(len, changed.values()))
            for helping in _helpings(changed):
                await self._tell(helping, _LONGEST_PERIOD_SECONDS * sum(map(len, helping.values())) / total)
        except BaseException:
            await asyncio.shield(self._store.release(marks))  # also when this process stops: others go on at once
            raise
        await self._store.delete(marks)
        return True

    async def _tell(self, helping: Mapping[RunName, Sequence[str]], longest_pause: float) -> None:
        """Tells of some series, and leaves the machine to others for a while.

        To tell of a series costs about as much as to store a few numbers of it. So telling takes a small part of the
        time, and where thousands change several times a second each is told of every few seconds.
        """
        loop = asyncio.get_running_loop()
        begun = loop.time()
        series = await self._store.series(helping)
        await self._history.record_summaries(
            {run: [_summary(each) for each in of_run] for run, of_run in groupby(series, lambda each: each.run)}
        )
        wanted = max(_PAUSE_FOR_EACH_SECOND * (loop.time() - begun), len(series) / _SERIES_PER_SECOND)
        await asyncio.sleep(min(wanted, longest_pause))


def _helpings(changed: Mapping[RunName, Sequence[str]]) -> Iterator[Mapping[RunName, Sequence[str]]]:
    """Cuts what changed into what is told at once."""
    helping: dict[RunName, Sequence[str]] = {}
    room = _HELPING_SERIES
    for run, metrics in changed.items():
        begin = 0
        while begin < len(metrics):
            helping[run] = metrics[begin : begin + room]
            begin += len(helping[run])
            room -= len(helping[run])
            if not room:
                yield helping
                helping, room = {}, _HELPING_SERIES
    if helping:
        yield helping


def _summary(series: Series) -> MetricSummary:
    return MetricSummary(series.metric, series.last, series.min, series.max, series.count, series.revision)
