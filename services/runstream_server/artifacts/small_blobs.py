"""Takes in small blobs that travel within messages, many in one object."""

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.digesting import Digested, digest_of
from runstream_server.artifacts.model import UPLOAD_LIFETIME, Blob, Content
from runstream_server.artifacts.packs import make_pack
from runstream_server.artifacts.telemetry import SMALL_BLOBS
from runstream_server.errors import Interrupted
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket

_ATTEMPTS = 4
EMPTY = digest_of(b"").blob.digest


class SmallBlobs:
    """Stores blobs whose bytes are in memory."""

    def __init__(self, store: ContentStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now

    async def digest(self, blobs: Sequence[bytes]) -> Sequence[Digested]:
        """Says what blobs are, in order."""
        return await asyncio.to_thread(lambda: [digest_of(data) for data in blobs])

    async def store(self, workspace: WorkspaceName, blobs: Sequence[bytes], digested: Sequence[Digested]) -> None:
        """Stores blobs, of which is known what they are. Doing so again changes nothing.

        What is in the bucket already, whoever sent it, is not stored again: the workspace proved that it has the bytes.
        """
        by_digest = {each.blob.digest: (each, data) for each, data in zip(digested, blobs, strict=True)}
        empty = by_digest.pop(EMPTY, None)
        if empty is not None:  # has an object of its own: no range of a pack is empty
            await self._store_all(workspace.workspace, {EMPTY: empty})
        if by_digest:
            await self._store_all(workspace.workspace, by_digest)

    async def _store_all(self, workspace: str, by_digest: Mapping[str, tuple[Digested, bytes]]) -> None:
        for _ in range(_ATTEMPTS):
            existing = await self._store.existing(list(by_digest))
            new = [pair for digest, pair in by_digest.items() if digest not in existing]
            old = [pair[0].blob for digest, pair in by_digest.items() if digest in existing]
            if await self._store_new(workspace, new, old):
                return
        raise Interrupted  # what was there was collected, again and again

    async def _store_new(self, workspace: str, new: Sequence[tuple[Digested, bytes]], old: Sequence[Blob]) -> bool:
        """Stores what is new and gives the workspace what is old too; False if that is not there any more."""
        if not new:
            return await self._store.give(workspace, old, self._now())
        key, data, starts = _object(new)
        await self._store.note_object(key, len(data), self._now() + UPLOAD_LIFETIME)
        await self._bucket.put(key, data)
        SMALL_BLOBS.inc(len(new))
        written = [Content(each.blob, key, start, each.checksums) for (each, _), start in zip(new, starts, strict=True)]
        return await self._store.keep_noted(workspace, key, written, old, self._now())


def _object(blobs: Sequence[tuple[Digested, bytes]]) -> tuple[str, bytes, Sequence[int]]:
    """The key and the bytes of an object with these blobs, and where in it each begins."""
    name = uuid.uuid4().hex
    if len(blobs) == 1:
        ((digested, data),) = blobs
        digest = digested.blob.digest
        return f"blobs/sha256/{digest[:2]}/{digest}.{name}", data, (0,)
    pack, starts = make_pack([(each.blob.digest, data) for each, data in blobs])
    return f"packs/{name[:2]}/{name}", pack, starts
