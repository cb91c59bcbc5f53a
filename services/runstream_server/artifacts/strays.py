"""Finds objects in the bucket that the database does not know: after a restored backup, or a defect."""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.artifacts.collection_store import CollectionStore
from runstream_server.errors import BucketUnavailable
from runstream_server.objectstore import Bucket, ObjectInfo, Unfinished

logger = logging.getLogger(__name__)

FOLDERS = ("blobs/", "packs/", "uploads/")
"""What in the bucket belongs to this service. Nothing else is ever touched."""

_STRAY_AGE = timedelta(days=2)
"""How old an object is before nothing can be about to refer to it any more: twice as old as an upload gets."""

_AT_ONCE = 1_000
_MOST_REFUSED = 3
"""When the bucket refuses so many objects and deletes none, the trouble is not with them."""


@dataclass(slots=True)
class Removed:
    """What was removed, or in a dry run what would be."""

    objects: int = 0
    refused_objects: int = 0
    """Objects that the bucket did not delete."""

    async def note(self, key: str, removal: Awaitable[None]) -> None:
        """Counts what becomes of a removal; raises BucketUnavailable once the bucket has only ever refused."""
        try:
            await removal
        except BucketUnavailable:
            self.refused_objects += 1
            if not self.objects and self.refused_objects == _MOST_REFUSED:
                raise
            logger.warning("object not deleted", extra={"key": key})
        else:
            self.objects += 1


class Strays:
    """Looks through the bucket."""

    def __init__(self, store: CollectionStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now

    async def remove(self, *, dry_run: bool) -> "Removed":
        """Removes objects that nothing knows, and parts that are no object, once they are two days old.

        What the bucket refuses to delete stays, to be found again.

        Raises:
            BucketUnavailable: It refuses everything, or does not answer.
        """
        removed = Removed()
        for folder in FOLDERS:
            async for objects in _grouped(self._bucket.list(folder)):
                await self._remove_objects(objects, removed, dry_run=dry_run)
            async for each in self._bucket.list_unfinished(folder):
                await self._remove_parts(each, removed, dry_run=dry_run)
        return removed

    async def _remove_objects(self, objects: Sequence[ObjectInfo], removed: "Removed", *, dry_run: bool) -> None:
        old = [each.key for each in objects if each.change_time < self._now() - _STRAY_AGE]
        strange = await self._store.strangers(old)
        for key in strange:
            logger.warning("stray object", extra={"key": key, "dry_run": dry_run})
            if dry_run:
                removed.objects += 1
            else:
                await removed.note(key, self._bucket.delete(key))

    async def _remove_parts(self, unfinished: Unfinished, removed: "Removed", *, dry_run: bool) -> None:
        if unfinished.begin_time >= self._now() - _STRAY_AGE:  # whatever has its key now, no upload gets as old
            return
        logger.warning("stray parts", extra={"key": unfinished.key, "dry_run": dry_run})
        if dry_run:
            removed.objects += 1
        else:
            await removed.note(unfinished.key, self._bucket.abort_parts(unfinished.key, unfinished.parts_id))


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
