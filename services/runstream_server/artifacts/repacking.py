"""Rewrites packs of which most is not used any more."""

import logging
import uuid
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from runstream_server.artifacts.collection_store import CollectionStore, PackUse
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.model import UPLOAD_LIFETIME, Content
from runstream_server.artifacts.packs import make_pack
from runstream_server.errors import DataLoss
from runstream_server.objectstore import Bucket

logger = logging.getLogger(__name__)

_PACK_BYTES = 4 << 20
_PACK_BLOBS = 10_000


class Repacking:
    """Puts what is left of packs into new ones."""

    def __init__(
        self,
        store: CollectionStore,
        content_store: ContentStore,
        contents: Contents,
        bucket: Bucket,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._content_store = content_store
        self._contents = contents
        self._bucket = bucket
        self._now = now

    async def repack(self, readers_grace: timedelta) -> int:
        """Rewrites packs less than half of which is used, and gives up those that are not; returns how many.

        Objects that are replaced stay for `readers_grace`.
        """
        count, after = 0, ""
        gathered: list[PackUse] = []
        while page := await self._store.packs(after):
            after = page[-1].object
            dead = [pack.object for pack in page if not pack.live_count]
            await self._store.retire(dead, self._now() + readers_grace)
            count += len(dead)
            for pack in page:
                if not pack.live_count or pack.live_bytes * 2 >= pack.size_bytes:
                    continue
                gathered.append(pack)
                if _fill(gathered):
                    count += await self._rewrite(gathered, readers_grace)
                    gathered = []
        return count + (await self._rewrite(gathered, readers_grace) if gathered else 0)

    async def _rewrite(self, packs: Sequence[PackUse], readers_grace: timedelta) -> int:
        names = [pack.object for pack in packs]
        left = await self._store.packed(names)
        try:
            data = await self._contents.read_packed(left)
        except DataLoss as error:
            logger.warning("packs not rewritten", extra={"reason": error.reason, "packs": names})
            return 0
        if left:
            await self._move(names, left, data, readers_grace)
        return len(packs)

    async def _move(
        self, packs: Sequence[str], left: Sequence[Content], data: Sequence[bytes], readers_grace: timedelta
    ) -> None:
        pack, starts = make_pack([(each.blob.digest, bytes_) for each, bytes_ in zip(left, data, strict=True)])
        name = uuid.uuid4().hex
        key = f"packs/{name[:2]}/{name}"
        moved = [Content(each.blob, key, start, each.checksums) for each, start in zip(left, starts, strict=True)]
        await self._content_store.note_object(key, len(pack), self._now() + UPLOAD_LIFETIME)
        await self._bucket.put(key, pack)
        await self._store.move(packs, key, moved, self._now(), self._now() + readers_grace)


def _fill(packs: Sequence[PackUse]) -> bool:
    """Whether what is left of packs is enough for a new one."""
    return (
        sum(pack.live_bytes for pack in packs) >= _PACK_BYTES or sum(pack.live_count for pack in packs) >= _PACK_BLOBS
    )
