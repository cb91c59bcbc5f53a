"""Wakes the uplink when a file changes, at no cost for who writes it."""

import asyncio
import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Final

BLIND_SECONDS: Final = 0.05
"""How often a file is looked at where the system does not tell of changes."""

_MODIFY, _CLOSE_WRITE, _MOVED_TO, _CREATE = 0x2, 0x8, 0x80, 0x100
_IGNORED, _ONE_SHOT = 0x8000, 0x80000000
_EVENT = struct.Struct("iIII")
_READ_BYTES = 64 * 1024


class Bell:
    """Rings when one of some files was written or closed by its writer, or when there is a new entry in a folder.

    What happens to the files in a folder is not told to its bell: each write of a busy spool would ring it.
    """

    def __init__(self, doorbell: "Doorbell", *paths: Path) -> None:
        self._doorbell = doorbell
        self._masks: dict[Path, int] = {}
        self._rung = asyncio.Event()
        self._sees = False
        self.tell_of(paths)

    def tell_of(self, paths: Iterable[Path]) -> bool:
        """Tells of these, and of no others any more, from the next time that it is armed; whether one is new to it."""
        masks = {path: _mask(path) for path in paths}
        is_more = not masks.keys() <= self._masks.keys()
        self._masks = masks
        return is_more

    def arm(self) -> None:
        """From now on the next change is noticed. Look for changes afterwards, then `wait`."""
        self._rung.clear()
        watched = [self._doorbell.watch(path, mask, self) for path, mask in self._masks.items()]
        self._sees = all(watched)

    def ring(self) -> None:
        """Ends the wait."""
        self._rung.set()

    async def wait(self, seconds: float, *, blind_seconds: float = BLIND_SECONDS) -> None:
        """Waits until something has changed since `arm`, `seconds` at most; may return without a change.

        Where the system does not tell of changes, it returns after `blind_seconds`.
        """
        try:
            async with asyncio.timeout(seconds if self._sees else min(seconds, blind_seconds)):
                await self._rung.wait()
        except TimeoutError:
            return


class Doorbell:
    """The bells of a process: inotify on Linux, where each watch ends with its first event, so that a busy file costs
    nothing while it is being read anyway. Elsewhere, and where the system has no watch left, bells return early."""

    def __init__(self) -> None:
        self._bells: dict[int, set[Bell]] = {}
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._inotify = self._open()
        if self._inotify >= 0:
            asyncio.get_running_loop().add_reader(self._inotify, self._take)

    def bell(self, *paths: Path) -> Bell:
        """A bell for files and folders, which need not exist yet."""
        return Bell(self, *paths)

    def watch(self, path: Path, mask: int, bell: Bell) -> bool:
        """Rings a bell at the next event of a mask; false: the system cannot tell."""
        if self._inotify < 0:
            return False
        watch: int = self._libc.inotify_add_watch(self._inotify, os.fsencode(path), ctypes.c_uint32(mask))
        if watch >= 0:
            self._bells.setdefault(watch, set()).add(bell)
        return watch >= 0

    def close(self) -> None:
        """Ends all watches."""
        if self._inotify >= 0:
            asyncio.get_running_loop().remove_reader(self._inotify)
            os.close(self._inotify)

    def _open(self) -> int:
        try:
            return int(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))
        except AttributeError:
            return -1

    def _take(self) -> None:
        try:
            data = os.read(self._inotify, _READ_BYTES)
        except BlockingIOError:
            return
        at = 0
        while at < len(data):
            watch, mask, _, name_bytes = _EVENT.unpack_from(data, at)
            at += _EVENT.size + name_bytes
            for bell in self._bells.get(watch, ()):
                bell.ring()
            if mask & _IGNORED:
                self._bells.pop(watch, None)


def _mask(path: Path) -> int:
    is_folder = os.path.isdir(path)  # noqa: PTH112  (is_dir raises)
    return _ONE_SHOT | (_MOVED_TO | _CREATE if is_folder else _MODIFY | _CLOSE_WRITE)
