"""Follows log files as they grow."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from runstream_server.errors import Draining
from runstream_server.logs.aliases import candidates
from runstream_server.logs.errors import InvalidCursor
from runstream_server.logs.model import LogFile, TailEnd, TailMessage, TextSlice, hint_keys
from runstream_server.logs.rules import Logs
from runstream_server.names import RunName
from runstream_server.postgres import Hints, Subscription
from runstream_server.runhistory import RunFacts, RunWatch

HINT_TOPIC = "logs"

_QUIET_TIME = timedelta(seconds=5)
_IDLE_TIME = timedelta(seconds=15)
_LOOK_SECONDS = 1.0


class Tails:
    """Follows log files, whichever process they grow through: a hint says when to look, the database what there is."""

    def __init__(
        self, logs: Logs, watch: RunWatch, hints: Hints, draining: asyncio.Event, now: Callable[[], datetime]
    ) -> None:
        self._logs = logs
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

    async def tail(
        self, run: RunName, path: str, offset: int | None, *, from_now: bool
    ) -> AsyncGenerator[TailMessage, None]:
        """Yields the bytes of a file from `offset` on, without gap or repetition, until there will be no more.

        Without `offset` it starts with the first byte, or after what is durable now. The path may be an alias; a file
        that does not exist yet is waited for. A message without bytes says that nothing happened for 15 s.

        Raises:
            RunNotFound: No run has this name.
            InvalidCursor: The file does not have that many bytes.
        """
        with self._hints.subscribe(HINT_TOPIC, hint_keys(run, candidates(path))) as hints:
            end = _RunEnd(hints)
            async with self._watch.following(run, end.run_changed) as facts:
                end.run_changed(facts)
                file = await self._logs.find(run, path)
                begin = offset or (file.size_bytes if from_now and offset is None and file else 0)
                with self._woken_to_drain(hints):
                    async for message in self._follow(run, path, begin, end, hints):
                        yield message

    @contextmanager
    def _woken_to_drain(self, hints: Subscription) -> Iterator[None]:
        self._waiting.add(hints)
        try:
            yield
        finally:
            self._waiting.discard(hints)

    async def _follow(
        self, run: RunName, path: str, offset: int, end: "_RunEnd", hints: Subscription
    ) -> AsyncGenerator[TailMessage, None]:
        told = self._now()
        while not self._draining.is_set():
            file = await self._logs.find(run, path)
            if file is not None and file.size_bytes > offset:
                async for text in self._logs.read_file(file, offset, file.size_bytes):
                    yield TailMessage(text)
                    offset = text.end_offset
                told = self._now()
                continue
            reason = self._reason_to_end(file, offset, end.time)
            if reason is not None:
                yield TailMessage(TextSlice(offset, b""), reason)
                return
            if self._now() - told >= _IDLE_TIME:
                yield TailMessage(TextSlice(offset, b""))
                told = self._now()
            await hints.wait(_LOOK_SECONDS)
        raise Draining

    def _reason_to_end(self, file: LogFile | None, offset: int, run_end: datetime | None) -> TailEnd | None:
        if file is not None and file.size_bytes < offset:
            raise InvalidCursor
        if file is not None and file.finished:
            return TailEnd.FINISHED
        if run_end is None:
            return None
        last = max(run_end, file.update_time) if file is not None and file.update_time is not None else run_end
        return TailEnd.RUN_ENDED if self._now() - last >= _QUIET_TIME else None


class _RunEnd:
    """Notes when the run ended, and wakes the tail then."""

    def __init__(self, hints: Subscription) -> None:
        self.time: datetime | None = None
        self._hints = hints

    def run_changed(self, facts: RunFacts) -> None:
        if facts.end_time is not None:
            self.time = facts.end_time
            self._hints.wake()
