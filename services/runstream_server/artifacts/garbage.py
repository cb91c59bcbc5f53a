"""Deletes objects that nothing refers to, when their time is over."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.artifacts.garbage_store import Discarded, GarbageStore
from runstream_server.artifacts.telemetry import DELETED_BYTES, DELETED_OBJECTS, UNDELETED_OBJECTS
from runstream_server.errors import BucketUnavailable
from runstream_server.objectstore import Bucket

logger = logging.getLogger(__name__)

_AT_ONCE = 100
_MOST_REFUSED = 3
"""When the bucket refuses so many objects and deletes none, the trouble is not with them."""
_PAUSE = timedelta(hours=1)


@dataclass(slots=True)
class Deleted:
    """What was deleted."""

    objects: int = 0
    size_bytes: int = 0
    refused_objects: int = 0
    """Objects that the bucket did not delete."""


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

    async def delete_all(self) -> "Deleted":
        """Deletes all objects whose time is over. What the bucket refuses to delete is tried again an hour later.

        Raises:
            BucketUnavailable: It refuses everything.
        """
        done = Deleted()
        while due := await self._store.doom(self._now(), _AT_ONCE):
            await self._delete_some(due, done)
        return done

    async def _delete_some(self, due: Sequence[Discarded], done: "Deleted") -> None:
        gone: list[Discarded] = []
        refused: list[str] = []
        try:
            for each in due:
                try:
                    await self._delete(each)
                except BucketUnavailable:
                    refused.append(each.object)
                    if len(refused) == _MOST_REFUSED and not gone:
                        raise
                else:
                    gone.append(each)
        finally:
            await self._note(gone, done)
        await self._store.postpone(refused, self._now() + _PAUSE)
        UNDELETED_OBJECTS.inc(len(refused))
        for key in refused:
            logger.warning("object not deleted", extra={"key": key})
        done.refused_objects += len(refused)

    async def _note(self, gone: Sequence[Discarded], done: "Deleted") -> None:
        size_bytes = sum(each.size_bytes for each in gone)
        await self._store.forget([each.object for each in gone])
        DELETED_OBJECTS.inc(len(gone))
        DELETED_BYTES.inc(size_bytes)
        done.objects += len(gone)
        done.size_bytes += size_bytes

    async def _delete(self, discarded: Discarded) -> None:
        if discarded.parts_id is not None:
            await self._bucket.abort_parts(discarded.object, discarded.parts_id)
        await self._bucket.delete(discarded.object)
