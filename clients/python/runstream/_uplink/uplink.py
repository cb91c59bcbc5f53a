"""Finds the spools of a group and has each carried."""

import asyncio
import contextlib
import logging
import time
from pathlib import Path

from runstream._channel.connection import close_connections
from runstream._spool.format import SpoolDamaged
from runstream._spool.places import spools_in
from runstream._uplink.carrier import Carrier, cancel
from runstream._uplink.doorbell import Doorbell
from runstream._uplink.followers import Followers

LOOK_SECONDS = 1.0
"""How often new spools are looked for without a sign of one."""

_logger = logging.getLogger(__name__)


class Uplink:
    """Carries every spool of a group, those that come later included."""

    def __init__(self, group: Path, idle_seconds: float, linger_seconds: float) -> None:
        """Writers that live and log nothing are waited for for `idle_seconds`: they start another uplink when they do.
        For the next run of a script `linger_seconds` are waited after all spools are carried to their ends."""
        self._group = group
        self._idle_seconds = idle_seconds
        self._linger_seconds = linger_seconds
        self._carriers: dict[str, Carrier] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._unreadable: set[str] = set()

    async def run(self) -> dict[str, int]:
        """Returns when there has been no work for long enough, with the spools that are left and their sizes."""
        doorbell = Doorbell()
        followers = Followers(doorbell)
        bell = doorbell.bell(self._group)
        work_time = time.monotonic()
        try:
            while True:
                bell.arm()
                self._find(doorbell, followers)
                if any(not task.done() for task in self._tasks.values()):
                    work_time = time.monotonic()
                if self._may_end(work_time):
                    return sizes_in(self._group)
                await bell.wait(LOOK_SECONDS)
        finally:
            await cancel([*self._tasks.values(), *followers.tasks])
            doorbell.close()
            await close_connections()

    def _find(self, doorbell: Doorbell, followers: Followers) -> None:
        for name in [name for name, task in self._tasks.items() if task.done() and not (self._group / name).exists()]:
            del self._tasks[name], self._carriers[name]
        for spool in spools_in(self._group):
            if spool.name not in self._tasks:
                self._begin(spool, doorbell, followers)

    def _begin(self, spool: Path, doorbell: Doorbell, followers: Followers) -> None:
        try:
            carrier = Carrier(spool, doorbell, followers)
        except (OSError, SpoolDamaged) as error:
            if spool.name not in self._unreadable:
                self._unreadable.add(spool.name)
                _logger.warning("the spool %s cannot be read: %s", spool.name, error)
            return
        self._carriers[spool.name] = carrier
        self._tasks[spool.name] = asyncio.create_task(carrier.run(), name=f"carry {spool.name}")

    def _may_end(self, work_time: float) -> bool:
        if not self._group.exists():
            return True
        busy = [self._carriers[name] for name, task in self._tasks.items() if not task.done()]
        if busy:
            return all(carrier.idle_seconds > self._idle_seconds for carrier in busy)
        return time.monotonic() - work_time > self._linger_seconds


def sizes_in(group: Path) -> dict[str, int]:
    """The spools of a group with their sizes."""
    sizes = {}
    for spool in spools_in(group):
        with contextlib.suppress(FileNotFoundError):
            sizes[spool.name] = spool.stat().st_size
    return sizes
