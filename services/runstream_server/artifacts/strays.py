"""Finds objects in the bucket that the database does not know: after a restored backup, or a defect."""

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta

from runstream_server.artifacts.collection_store import CollectionStore
from runstream_server.objectstore import Bucket, ObjectInfo, Unfinished

logger = logging.getLogger(__name__)

FOLDERS = ("blobs/", "packs/", "uploads/")
"""What in the bucket belongs to this service. Nothing else is ever touched."""

_STRAY_AGE = timedelta(days=2)
"""How old an object is before nothing can be about to refer to it any more: twice as old as an upload gets."""

_AT_ONCE = 1_000


class Strays:
    """Looks through the bucket."""

    def __init__(self, store: CollectionStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now

    async def remove(self, *, dry_run: bool) -> int:
        """Removes objects, and parts of some, that nothing knows and that are two days old; returns how many."""
        count = 0
        for folder in FOLDERS:
            async for objects in _grouped(self._bucket.list(folder)):
                count += await self._remove_objects(objects, dry_run=dry_run)
            async for each in self._bucket.list_unfinished(folder):
                count += await self._remove_parts(each, dry_run=dry_run)
        return count

    async def _remove_objects(self, objects: Sequence[ObjectInfo], *, dry_run: bool) -> int:
        old = [each.key for each in objects if each.change_time < self._now() - _STRAY_AGE]
        strange = await self._store.strangers(old)
        for key in strange:
            logger.warning("stray object", extra={"key": key, "dry_run": dry_run})
            if not dry_run:
                await self._bucket.delete(key)
        return len(strange)

    async def _remove_parts(self, unfinished: Unfinished, *, dry_run: bool) -> int:
        if unfinished.begin_time >= self._now() - _STRAY_AGE or not await self._store.strangers([unfinished.key]):
            return 0
        logger.warning("stray parts", extra={"key": unfinished.key, "dry_run": dry_run})
        if not dry_run:
            await self._bucket.abort_parts(unfinished.key, unfinished.parts_id)
        return 1


async def _grouped(objects: AsyncIterator[ObjectInfo]) -> AsyncIterator[Sequence[ObjectInfo]]:
    """Yields objects many at a time."""
    group: list[ObjectInfo] = []
    async for each in objects:
        group.append(each)
        if len(group) == _AT_ONCE:
            yield group
            group = []
    if group:
        yield group
