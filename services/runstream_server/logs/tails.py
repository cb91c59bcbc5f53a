"""Follows log files as they grow."""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.logs.aliases import candidates
from runstream_server.logs.drain import Drain
from runstream_server.logs.errors import InvalidCursor, LogExpired
from runstream_server.logs.model import LogFile, TailBegin, TailEnd, TailMessage, TextSlice, hint_keys
from runstream_server.logs.reading import LogReader
from runstream_server.logs.source import PAGE_BYTES, Reading
from runstream_server.logs.store import LogStore
from runstream_server.logs.watching import FileWatch, Followed
from runstream_server.names import RunName
from runstream_server.postgres import Hints, Subscription
from runstream_server.runhistory import RunFacts, RunWatch

HINT_TOPIC = "logs"

_QUIET_TIME = timedelta(seconds=5)
_IDLE_TIME = timedelta(seconds=15)
_READING = Reading(with_marks=True, with_lines=False)


class Tails:
    """Follows log files, whichever process they grow through: a hint says when to look, the database what there is."""

    def __init__(
        self,
        store: LogStore,
        reader: LogReader,
        files: FileWatch,
        runs: RunWatch,
        hints: Hints,
        drain: Drain,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._reader = reader
        self._files = files
        self._runs = runs
        self._hints = hints
        self._drain = drain
        self._now = now

    async def tail(self, run: RunName, path: str, begin: TailBegin) -> AsyncGenerator[TailMessage, None]:
        """Yields the text of a file without gap or repetition, until there will be no more.

        The path may be an alias; a file that does not exist yet is waited for, and the first that is there is followed
        from then on. A message without bytes says that nothing happened for 15 s.

        Raises:
            RunNotFound: No run has this name.
            InvalidCursor: The file does not have that many bytes.
            LogExpired: The text was removed.
        """
        paths = [begin.path] if begin.path else candidates(path)
        with self._hints.subscribe(HINT_TOPIC, hint_keys(run, paths)) as hints:
            end = _RunEnd(hints, self._now)
            async with self._runs.following(run, end.run_changed) as facts:
                end.found(facts)
                with self._files.following(run, paths, hints) as followed:
                    place = await self._begin(followed, begin)
                    async with aclosing(self._drain.guarded(self._follow(followed, place, end))) as messages:
                        async for message in messages:
                            yield message

    async def _begin(self, followed: Followed, begin: TailBegin) -> "_Place":
        if begin.offset is not None:
            return _Place(begin.offset)
        file = await self._find(followed)
        if file is None or not (begin.from_now or begin.last_lines):
            return _Place(0)
        if begin.from_now:
            return _Place(file.size_bytes)
        return _Place(await self._reader.start_of_last_lines(file, begin.last_lines))

    async def _find(self, followed: Followed) -> LogFile | None:
        """The file as it is now. Once there is one, no other path of an alias counts any more."""
        file = await self._store.find(followed.run, followed.paths)
        if file is not None and file.expire_time is not None:
            raise LogExpired(file.run, file.path)
        followed.saw(file)
        return file

    async def _follow(self, followed: Followed, place: "_Place", end: "_RunEnd") -> AsyncGenerator[TailMessage, None]:
        told = self._now()
        while True:
            file = await self._find(followed)
            if file is not None and file.size_bytes > place.offset:
                async with aclosing(self._text(file, followed, place, end)) as messages:
                    async for message in messages:
                        yield message
                        told = self._now()
                continue
            path = file.path if file is not None else ""
            reason = self._reason_to_end(file, place.offset, end.time)
            if reason is not None:
                yield TailMessage(TextSlice(place.offset, b""), path, reason)
                return
            if self._now() - told >= _IDLE_TIME:
                yield TailMessage(TextSlice(place.offset, b""), path)
                told = self._now()
            await followed.hints.wait(self._seconds_to_wait(told, end.time))

    async def _text(
        self, file: LogFile, followed: Followed, place: "_Place", end: "_RunEnd"
    ) -> AsyncGenerator[TailMessage, None]:
        """Yields what the file has beyond the place, which moves, and what comes then while it is not sealed."""
        async with aclosing(self._reader.read_bytes(file, place.offset, file.size_bytes, _READING)) as parts:
            async for part in parts:
                yield TailMessage(part, file.path)
                place.offset = part.end_offset
        if file.finished:
            return
        while end.time is None and await followed.hints.wait(_IDLE_TIME.total_seconds()):
            new = await self._reader.read_new(file, place.offset, _READING)
            if not new:
                return
            for part in new:
                yield TailMessage(part, file.path)
                place.offset = part.end_offset
            followed.saw_size(file, place.offset)
            if place.offset - new[0].offset >= PAGE_BYTES:
                return

    def _reason_to_end(self, file: LogFile | None, offset: int, run_end: datetime | None) -> TailEnd | None:
        if file is not None and file.size_bytes < offset:
            raise InvalidCursor
        if file is not None and file.finished:
            return TailEnd.FINISHED
        if run_end is None:
            return None
        last = max(run_end, file.update_time) if file is not None and file.update_time is not None else run_end
        return TailEnd.RUN_ENDED if self._now() - last >= _QUIET_TIME else None

    def _seconds_to_wait(self, told: datetime, run_end: datetime | None) -> float:
        """Until there is something to say even if nothing happens."""
        idle = told + _IDLE_TIME - self._now()
        return min(idle, _QUIET_TIME if run_end is not None else idle).total_seconds()


@dataclass(slots=True)
class _Place:
    """Where a tail is in its file."""

    offset: int


class _RunEnd:
    """Notes when the run ended, and wakes the tail then."""

    def __init__(self, hints: Subscription, now: Callable[[], datetime]) -> None:
        self.time: datetime | None = None
        self._hints = hints
        self._now = now

    def found(self, facts: RunFacts) -> None:
        """Takes what is known of the run at first."""
        if facts.end_time is not None and self.time is None:
            self.time = min(facts.end_time, self._now())

    def run_changed(self, facts: RunFacts) -> None:
        """Takes what became of the run; it ended just now, whatever time its caller gave."""
        if facts.end_time is not None and self.time is None:
            self.time = self._now()
            self._hints.wake()
