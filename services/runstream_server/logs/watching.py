"""Looks at all files that are followed, for hints that were lost."""

import asyncio
import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runstream_server.errors import RunstreamError
from runstream_server.logs.model import LogFile
from runstream_server.logs.store import FileState, LogStore
from runstream_server.names import RunName
from runstream_server.postgres import Subscription

logger = logging.getLogger(__name__)

_LOOK_SECONDS = 1.0
_FILES_AT_ONCE = 1_000
_NOTHING = FileState("", 0, finished=False)


class Followed:
    """One reader that follows a file, or the first of some paths that becomes one."""

    def __init__(self, run: RunName, paths: Sequence[str], hints: Subscription) -> None:
        self.run = run
        self.paths = paths
        self.hints = hints
        self.seen = _NOTHING

    def saw(self, file: LogFile | None) -> None:
        """Notes how the reader has found the file; no other path counts then."""
        if file is not None:
            self.paths = [file.path]
            self.seen = FileState(file.path, file.size_bytes, file.finished)

    def saw_size(self, file: LogFile, size_bytes: int) -> None:
        """Notes that the reader has found the file larger."""
        self.seen = FileState(file.path, size_bytes, finished=False)


class FileWatch:
    """Asks for the sizes of all followed files once a second, and wakes the readers that have seen others."""

    def __init__(self, store: LogStore) -> None:
        self._store = store
        self._followed: set[Followed] = set()

    @contextmanager
    def following(self, run: RunName, paths: Sequence[str], hints: Subscription) -> Iterator[Followed]:
        """Looks after one reader while the context is open."""
        followed = Followed(run, paths, hints)
        self._followed.add(followed)
        try:
            yield followed
        finally:
            self._followed.discard(followed)

    async def run(self) -> None:
        """Looks until cancelled."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                await self.look()
            except RunstreamError as error:
                logger.info("looking at logs again", extra={"reason": error.reason})

    async def look(self) -> None:
        """Looks once."""
        followed = list(self._followed)
        for start in range(0, len(followed), _FILES_AT_ONCE):
            await self._look(followed[start : start + _FILES_AT_ONCE])

    async def _look(self, followed: Sequence[Followed]) -> None:
        states = await self._store.states([(each.run, path) for each in followed for path in each.paths])
        for each in followed:
            found = [states[key] for path in each.paths if (key := (each.run, path)) in states]
            if found and each.seen not in found:
                each.hints.wake()
