"""Deletes objects that nothing refers to, when their time is over."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime

from runstream_server.artifacts.garbage_store import Discarded, GarbageStore
from runstream_server.artifacts.telemetry import DELETED_BYTES, DELETED_OBJECTS
from runstream_server.objectstore import Bucket

_AT_ONCE = 100


class Garbage:
    """Deletes what is noted as garbage. Safe from any number of processes at once: keys are never used again."""

    def __init__(self, store: GarbageStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now
        self._wanted = asyncio.Event()

    def collect_soon(self) -> None:
        """Has the process delete garbage as soon as it can."""
        self._wanted.set()

    async def wanted(self, seconds: float) -> None:
        """Returns when garbage is to be deleted, at the latest after so many seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wanted.wait()
        self._wanted.clear()

    async def waiting(self) -> tuple[int, int]:
        """Returns how many objects wait for their time, and how many bytes they have."""
        return await self._store.pending()

    async def delete_all(self) -> tuple[int, int]:
        """Deletes all objects whose time is over; returns how many, and how many bytes they had."""
        objects = size_bytes = 0
        while due := await self._store.doom(self._now(), _AT_ONCE):
            for each in due:
                await self._delete(each)
            await self._store.forget([each.object for each in due])
            DELETED_OBJECTS.inc(len(due))
            DELETED_BYTES.inc(sum(each.size_bytes for each in due))
            objects += len(due)
            size_bytes += sum(each.size_bytes for each in due)
        return objects, size_bytes

    async def _delete(self, discarded: Discarded) -> None:
        if discarded.parts_id is not None:
            await self._bucket.abort_parts(discarded.object, discarded.parts_id)
        await self._bucket.delete(discarded.object)
