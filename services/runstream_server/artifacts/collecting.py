"""Removes what nothing refers to: mark and sweep, with grace.

Nothing is marked in a table: a blob can go when no artifact and no snapshot of its workspace refers to it and nobody
was told of it during the grace, a content when no workspace has it. Each is locked, looked at once more and only then
removed; what begins to use it meanwhile either waits and finds it gone, or keeps it. Objects follow later, when nobody
can still read them by a URL, and their keys are never used again. So no order of steps takes bytes away from somebody
who was told that they are there, and a kill at any point leaves garbage that is known.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from runstream_server.artifacts.collection_store import CollectionStore
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.garbage import Garbage
from runstream_server.artifacts.garbage_store import GarbageStore
from runstream_server.artifacts.model import UPLOAD_LIFETIME, URL_LIFETIME
from runstream_server.artifacts.repacking import Repacking
from runstream_server.artifacts.strays import Strays
from runstream_server.artifacts.telemetry import COLLECTED_BYTES, COLLECTED_CONTENTS
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.artifacts.using import RENEWALS
from runstream_server.config import ArtifactsConfig
from runstream_server.errors import RunstreamError
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres

logger = logging.getLogger(__name__)

READERS_GRACE = URL_LIFETIME * 2
"""How long an object stays when nothing refers to it any more: whoever has its URL may still read it."""

_SWEEP_SECONDS = 600.0
_UPLOADS_AT_ONCE = 100


@dataclass(slots=True)
class Collection:
    """What was removed, or in a dry run what would be."""

    uploads: int = 0
    """Uploads that were not completed in time."""

    blobs: int = 0
    """Blobs that nothing in their workspace refers to."""

    contents: int = 0
    """Contents that no workspace has any more."""

    freed_bytes: int = 0
    """How many bytes these have: what the bucket gets back, now or when their time is over."""

    packs_rewritten: int = 0
    """Packs of which most was not used any more."""

    stray_objects: int = 0
    """Objects that the database does not know."""

    deleted_objects: int = 0
    """Objects that were deleted now."""

    deleted_bytes: int = 0
    refused_objects: int = 0
    """Objects that the bucket did not delete; they are tried again an hour later, strays the next time."""

    waiting_objects: int = 0
    """Objects that are deleted when their time is over."""

    waiting_bytes: int = 0
    dry_run: bool = field(default=False, kw_only=True)


class Collector:
    """Collects garbage. Safe from any number of processes at once."""

    def __init__(
        self,
        store: CollectionStore,
        uploads: UploadStore,
        garbage: Garbage,
        repacking: Repacking,
        strays: Strays,
        grace: timedelta,
        now: Callable[[], datetime],
    ) -> None:
        self.garbage = garbage
        self._store = store
        self._uploads = uploads
        self._repacking = repacking
        self._strays = strays
        self._grace = grace + grace / RENEWALS
        self._now = now

    async def is_due(self, interval: timedelta) -> bool:
        """Whether so much time has passed since any process collected; then this one is to."""
        return await self._store.claim(self._now(), interval)

    async def collect(self, *, dry_run: bool = False, strays: bool = False) -> Collection:
        """Removes what can go; with `strays` also objects in the bucket that the database does not know."""
        found = Collection(dry_run=dry_run)
        if not dry_run:
            found.uploads = await self.give_up_old_uploads()
        await self._collect_blobs(found)
        await self._collect_contents(found)
        if not dry_run:
            found.packs_rewritten = await self._repacking.repack(READERS_GRACE)
        if strays:
            removed = await self._strays.remove(dry_run=dry_run)
            found.stray_objects, found.refused_objects = removed.objects, removed.refused_objects
        if not dry_run:
            deleted = await self.garbage.delete_all()
            found.deleted_objects, found.deleted_bytes = deleted.objects, deleted.size_bytes
            found.refused_objects += deleted.refused_objects
        found.waiting_objects, found.waiting_bytes = await self.garbage.waiting()
        return found

    async def give_up_old_uploads(self) -> int:
        """Gives up uploads that can be used no more; returns how many."""
        count = 0
        now = self._now()
        begun_before = now - UPLOAD_LIFETIME - URL_LIFETIME
        while some := await self._uploads.give_up_old(begun_before, now, _UPLOADS_AT_ONCE):
            count += some
        return count

    async def _collect_blobs(self, found: Collection) -> None:
        cutoff = self._now() - self._grace
        after = ("", b"")
        while (page := await self._store.unused_blobs(after, cutoff)).last is not None:
            after = page.last
            if not page.digests:
                continue
            found.blobs += len(page.digests) if found.dry_run else await self._store.remove_blobs(page, cutoff)

    async def _collect_contents(self, found: Collection) -> None:
        now = self._now()
        cutoff = now - self._grace if found.dry_run else None
        after = b""
        while (page := await self._store.unused_contents(after, cutoff)).last is not None:
            after = page.last
            if found.dry_run or not page.digests:
                found.contents += len(page.digests)
                found.freed_bytes += page.size_bytes
                continue
            count, size_bytes = await self._store.remove_contents(page.digests, now + READERS_GRACE)
            found.contents += count
            found.freed_bytes += size_bytes
            COLLECTED_CONTENTS.inc(count)
            COLLECTED_BYTES.inc(size_bytes)


def make_collector(postgres: Postgres, bucket: Bucket, grace: timedelta, now: Callable[[], datetime]) -> Collector:
    """Puts a collector together."""
    store, contents = CollectionStore(postgres), ContentStore(postgres)
    return Collector(
        store,
        UploadStore(postgres),
        Garbage(GarbageStore(postgres), bucket, now),
        Repacking(store, contents, Contents(contents, bucket, now), bucket, now),
        Strays(store, bucket, now),
        grace,
        now,
    )


async def collect_forever(collector: Collector, config: ArtifactsConfig) -> None:
    """Deletes what is given up at once, old uploads every ten minutes, and looks for garbage as often as is set."""
    interval = timedelta(seconds=config.collect_seconds)
    while True:
        try:
            await collector.give_up_old_uploads()
            if interval and await collector.is_due(interval):
                found = await collector.collect()
                logger.info("garbage collected", extra={"contents": found.contents, "bytes": found.freed_bytes})
            await collector.garbage.delete_all()
        except RunstreamError as error:
            logger.warning("garbage not collected", extra={"reason": error.reason})
        except Exception:
            logger.exception("garbage not collected")
        await collector.garbage.wanted(_SWEEP_SECONDS)
