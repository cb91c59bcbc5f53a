"""Follows series as they grow."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, contextmanager
from datetime import datetime, timedelta
from itertools import chain

from runstream_server.errors import Draining
from runstream_server.metrics.errors import InvalidCursor
from runstream_server.metrics.model import Series, Slice, Span, no_points
from runstream_server.metrics.queries import TailMessage, TailRequest
from runstream_server.metrics.slices import decoded_slices
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.tail_store import TailStore
from runstream_server.names import RunName
from runstream_server.postgres import Hints, Subscription
from runstream_server.runhistory import RunFacts, RunWatch

HINT_TOPIC = "metrics"

_QUIET_TIME = timedelta(seconds=5)
_IDLE_TIME = timedelta(seconds=10)
_LOOK_SECONDS = 1.0
_LOOK_SECONDS_PER_SERIES = 1e-4
_SECONDS_BETWEEN_LOOKS = 0.02
_SERIES_AT_ONCE = 1_000


def hint_key(run: RunName) -> str:
    """The key under which a hint says that series of a run grew."""
    return f"{run.workspace}/{run.run}"


class Tails:
    """Follows series, whichever process they grow through: a hint says when to look, the database what there is."""

    def __init__(
        self,
        store: TailStore,
        source: ChunkSource,
        watch: RunWatch,
        hints: Hints,
        draining: asyncio.Event,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._source = source
        self._watch = watch
        self._hints = hints
        self._draining = draining
        self._now = now
        self._waiting: set[Subscription] = set()

    async def drain_when_told(self) -> None:
        """Ends all tails when the process stops."""
        await self._draining.wait()
        for hints in self._waiting:
            hints.wake()

    async def tail(self, request: TailRequest) -> AsyncGenerator[TailMessage, None]:
        """Yields the values of series, of each without gap or repetition, until all runs have ended.

        Values come in order of run and metric within what is found at once. A slice without values says where a series
        stands; a message without a slice, that nothing happened for 10 s.

        Raises:
            RunNotFound: No run has one of the names.
            InvalidCursor: A series does not have as many values as its position says.
        """
        with self._hints.subscribe(HINT_TOPIC, [hint_key(run) for run in request.runs]) as hints:
            ends = _RunEnds(request.runs, hints, self._now)
            async with AsyncExitStack() as stack:
                for run in request.runs:
                    ends.found(await stack.enter_async_context(self._watch.following(run, ends.run_changed)))
                await self._check(request)
                stack.enter_context(self._woken_to_drain(hints))
                async with aclosing(self._follow(request, ends, hints)) as messages:
                    async for message in messages:
                        yield message

    async def _check(self, request: TailRequest) -> None:
        beyond = await self._store.position_beyond_end(request.workspace, request.positions)
        if beyond is not None:
            raise InvalidCursor(*beyond)

    @contextmanager
    def _woken_to_drain(self, hints: Subscription) -> Iterator[None]:
        self._waiting.add(hints)
        try:
            yield
        finally:
            self._waiting.discard(hints)

    async def _follow(
        self, request: TailRequest, ends: "_RunEnds", hints: Subscription
    ) -> AsyncGenerator[TailMessage, None]:
        places = _Places(request)
        keys: Collection[str] | None = None
        told = self._now()
        while True:
            over = ends.are_over()
            runs = request.runs if keys is None or over else [run for run in request.runs if hint_key(run) in keys]
            async with aclosing(self._look(request, runs, places)) as slices:
                async for each in slices:
                    yield TailMessage(each)
                    told = self._now()
            if over:
                yield TailMessage(None, ended=True)
                return
            if self._now() - told >= _IDLE_TIME:
                yield TailMessage(None)
                told = self._now()
            keys = await _next_keys(hints, _LOOK_SECONDS + _LOOK_SECONDS_PER_SERIES * places.series_count)

    async def _look(
        self, request: TailRequest, runs: Sequence[RunName], places: "_Places"
    ) -> AsyncGenerator[Slice, None]:
        """Yields what series of some runs have beyond their places."""
        names, after = [run.run for run in runs], ("", "")
        more = True
        while more:
            page = await self._store.grown_series(
                request.workspace, names, request.metrics, places.of(names), after, _SERIES_AT_ONCE
            )
            spans = [Span(series, places.place(series), series.count) for series in page.series]
            for span in spans:
                if places.are_told(span.series):
                    yield Slice(span.series, span.start_index, no_points(span.series))
            async with aclosing(self._values([span for span in spans if span.count])) as slices:
                async for each in slices:
                    yield each
                    places.move(each.series, each.end_index)
            more = page.has_more
            after = page.last if more else after
        places.from_now = False

    async def _values(self, spans: Sequence[Span]) -> AsyncGenerator[Slice, None]:
        self._raise_when_draining()
        async with aclosing(self._source.read(spans)) as pages:
            async for chunks in pages:
                for each in await decoded_slices(chunks):
                    yield each
                self._raise_when_draining()

    def _raise_when_draining(self) -> None:
        if self._draining.is_set():
            raise Draining


async def _next_keys(hints: Subscription, seconds: float) -> Collection[str] | None:
    """Waits for hints, gathers those that come close together; None: look at everything."""
    await asyncio.sleep(_SECONDS_BETWEEN_LOOKS)
    hinted = await hints.wait(seconds)
    keys = hints.take_keys()
    return keys if hinted else None


class _Places:
    """Where a tail is in each series."""

    def __init__(self, request: TailRequest) -> None:
        self.from_now = request.from_now
        """Whether series that were not met yet are older than the tail, and begin where they end."""

        self._begin = dict(request.positions)
        self._next: dict[str, dict[int, int]] = {}

    @property
    def series_count(self) -> int:
        """How many series were met."""
        return sum(map(len, self._next.values()))

    def of(self, runs: Sequence[str]) -> dict[int, int]:
        """The index of the next value by number of the series."""
        return dict(chain.from_iterable(self._next[run].items() for run in runs if run in self._next))

    def place(self, series: Series) -> int:
        """The index of the next value of a series, which counts as met from now on."""
        places = self._next.setdefault(series.run.run, {})
        if series.number not in places:
            default = series.count if self.from_now else 0
            places[series.number] = self._begin.pop((series.run.run, series.metric), default)
        return places[series.number]

    def are_told(self, series: Series) -> bool:
        """Whether the place of a series is told before its values."""
        return self.from_now or not series.count

    def move(self, series: Series, next_index: int) -> None:
        """Notes that everything before an index was sent."""
        self._next[series.run.run][series.number] = next_index


class _RunEnds:
    """Notes when runs ended, and wakes the tail then."""

    def __init__(self, runs: Sequence[RunName], hints: Subscription, now: Callable[[], datetime]) -> None:
        self._running = set(runs)
        self._hints = hints
        self._now = now
        self._last: datetime | None = None

    def found(self, facts: RunFacts) -> None:
        """Takes what is known of a run at first."""
        if facts.end_time is not None:
            self._ended(facts.name, min(facts.end_time, self._now()))

    def run_changed(self, facts: RunFacts) -> None:
        """Takes what became of a run; it ended just now, whatever time its caller gave."""
        if facts.end_time is not None:
            self._ended(facts.name, self._now())

    def _ended(self, run: RunName, time: datetime) -> None:
        if run in self._running:
            self._running.discard(run)
            self._last = max(time, self._last or time)
            self._hints.wake()

    def are_over(self) -> bool:
        """Whether all runs have ended so long ago that what was under way has come."""
        return not self._running and self._last is not None and self._now() - self._last >= _QUIET_TIME
