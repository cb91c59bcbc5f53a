"""Brings a large file range by range, several at a time, and hashes those that are there meanwhile."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeAlias

from runstream._channel.tasks import end_tasks
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each, persist_any_way
from runstream._transfer.http import TransferFailed
from runstream._transfer.partial import Ranges
from runstream._transfer.progress import Meter
from runstream._transfer.settings import Settings

Take: TypeAlias = Callable[[int, bytes | memoryview], None]
"""Takes bytes and their place."""
Bring: TypeAlias = Callable[[int, int, Take], Awaitable[None]]
"""Hands out the bytes from one place to another; raises TransferFailed where they do not all come."""


class InRanges:
    """One file on its way."""

    def __init__(self, ranges: Ranges, bring: Bring, settings: Settings, meter: Meter) -> None:
        """`ranges` is open."""
        self._ranges = ranges
        self._bring = bring
        self._settings = settings
        self._meter = meter
        self._arrived = [asyncio.Event() for _ in range(ranges.count)]

    async def run(self) -> None:
        """Returns when the file is there.

        Raises:
            TransferFailed: All of it came, and it is not right.
            ServiceException: The bucket and the services failed; what arrived is kept.
        """
        missing = self._ranges.missing
        for number in set(range(self._ranges.count)).difference(missing):
            start, end = self._ranges.bounds(number)
            self._meter.advance(end - start)
            self._arrived[number].set()
        hashing = asyncio.create_task(self._hash())
        try:
            await each(self._fetch, missing, self._settings.at_once)
            await hashing
        finally:
            await end_tasks(hashing)
        self._finish()

    async def _fetch(self, number: int) -> None:
        arriving = _Arriving(self._ranges, number, self._meter)

        async def attempt() -> None:
            if arriving.at < arriving.end:
                await self._bring(arriving.at, arriving.end, arriving.take)

        await persist_any_way(attempt, self._settings.attempts)
        await in_thread(self._ranges.note, number)
        self._arrived[number].set()

    async def _hash(self) -> None:
        for event in self._arrived:
            await event.wait()
            await in_thread(self._ranges.hash)

    def _finish(self) -> None:
        try:
            self._ranges.finish()
        except TransferFailed:
            self._meter.advance(-self._ranges.size)
            raise


class _Arriving:
    """A range that comes from its beginning to its end."""

    def __init__(self, ranges: Ranges, number: int, meter: Meter) -> None:
        self.at, self.end = ranges.bounds(number)
        self._ranges = ranges
        self._meter = meter

    def take(self, place: int, block: bytes | memoryview) -> None:
        """Takes the next bytes."""
        if place != self.at:
            raise TransferFailed("the bucket serves no ranges", transient=False)
        self._ranges.write(self.at, block)
        self.at += len(block)
        self._meter.advance(len(block))
