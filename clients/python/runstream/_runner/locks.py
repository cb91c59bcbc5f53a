"""Locks between the runners of one machine, given back by the system when their owner dies."""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from runstream._spool.lock import is_at

LOOK_SECONDS: Final = 0.05


class FileLock:
    """A lock that one runner has alone, or several share."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file = -1

    @classmethod
    @asynccontextmanager
    async def held(
        cls, path: Path, *, shared: bool = False, wait: Callable[[], None] = lambda: None
    ) -> AsyncIterator["FileLock"]:
        """Waits for the lock and holds it while the context is open; `wait` is called if somebody else has it.

        Raises:
            OSError: The file cannot be made.
        """
        lock = cls(path)
        if not lock.take(shared=shared):
            wait()
            while not lock.take(shared=shared):  # noqa: ASYNC110 - nothing tells
                await asyncio.sleep(LOOK_SECONDS)
        try:
            yield lock
        finally:
            lock.give_back()

    def take(self, *, shared: bool = False) -> bool:
        """Takes the lock, or changes how it is held; false: somebody else has it, and it is not held any more."""
        if self._file < 0:
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._file, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
        except BlockingIOError:
            self.give_back()
            return False
        if is_at(self._file, self._path):
            return True
        self.give_back()  # its last owner removed it
        return False

    def give_back(self) -> None:
        """Gives the lock back."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
