"""Takes in the bytes of blobs: only what was verified gets the name of its content.

A client puts bytes where it was told to, `uploads/{upload}/arrived`, and may do so again at any time while the URL
lives. So they are first copied to where no client can write, the copy is read and hashed, and the copy of that copy
becomes the blob. A crash in between leaves objects below `uploads/`, which are removed a day later, and never a blob
with other bytes than its name says.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable
from datetime import datetime
from functools import partial

from runstream_server.artifacts.errors import DigestMismatch, UploadIncomplete, UploadNotFound
from runstream_server.artifacts.model import UPLOAD_LIFETIME, URL_LIFETIME, BegunUpload, Blob, Upload
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.errors import RunstreamError
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket, Digest, ObjectMissing

logger = logging.getLogger(__name__)

_VERIFIED_AT_ONCE = 8
_SWEEP_SECONDS = 600.0
_SWEPT_AT_ONCE = 100


class Uploads:
    """Begins and completes uploads."""

    def __init__(self, store: ArtifactStore, bucket: Bucket, now: Callable[[], datetime]) -> None:
        self._store = store
        self._bucket = bucket
        self._now = now
        self._verifying = asyncio.Semaphore(_VERIFIED_AT_ONCE)
        self._completing: dict[str, asyncio.Task[None]] = {}

    async def begin(self, workspace: WorkspaceName, blob: Blob) -> BegunUpload | None:
        """Begins an upload; None if the workspace has the blob already."""
        if await self._store.known(workspace.workspace, [blob.digest]):
            return None
        upload = Upload(workspace.workspace, uuid.uuid4().hex, blob, completed=False)
        await self._store.add_upload(upload, self._now())
        put = await self._bucket.presign_put(upload.arrival_key, Digest(blob.size_bytes, blob.digest), URL_LIFETIME)
        return BegunUpload(upload.upload_id, put)

    async def complete(self, workspace: WorkspaceName, upload_id: str) -> None:
        """Verifies what arrived and makes the blob known. Doing so again changes nothing.

        The work goes on when the caller goes away: a later call finds it done, however long a large blob takes.

        Raises:
            UploadNotFound: No such upload was begun within a day.
            UploadIncomplete: Nothing arrived.
            DigestMismatch: Other bytes arrived; they were removed.
        """
        if not (await self._find(workspace.workspace, upload_id)).completed:
            await asyncio.shield(self._completion(workspace.workspace, upload_id))

    async def _find(self, workspace: str, upload_id: str) -> Upload:
        upload = await self._store.find_upload(workspace, upload_id, self._now() - UPLOAD_LIFETIME)
        if upload is None:
            raise UploadNotFound(upload_id)
        return upload

    def _completion(self, workspace: str, upload_id: str) -> "asyncio.Task[None]":
        """The one task of this process that completes an upload."""
        if upload_id not in self._completing:
            task = asyncio.create_task(self._complete(workspace, upload_id), name=f"complete-upload-{upload_id}")
            task.add_done_callback(partial(self._completed, upload_id))
            self._completing[upload_id] = task
        return self._completing[upload_id]

    def _completed(self, upload_id: str, task: "asyncio.Task[None]") -> None:
        del self._completing[upload_id]
        if not task.cancelled():
            task.exception()  # told to the callers, if there still are any

    async def _complete(self, workspace: str, upload_id: str) -> None:
        async with self._verifying:
            upload = await self._find(workspace, upload_id)
            if upload.completed:
                return
            copy = f"{upload.folder}{uuid.uuid4().hex}"
            try:
                await self._bucket.copy(upload.arrival_key, copy)
            except ObjectMissing:
                if not (await self._find(workspace, upload_id)).completed:
                    raise UploadIncomplete(upload_id) from None
                return
            await self._take_in(upload, copy)

    async def _take_in(self, upload: Upload, copy: str) -> None:
        """Makes a copy the blob, if it is what was announced, and removes what is not needed any more."""
        blob = upload.blob
        arrived = await self._bucket.digest(copy)
        if arrived == Digest(blob.size_bytes, blob.digest):
            if await self._bucket.head(blob.key) is None:
                await self._bucket.copy(copy, blob.key)
            await self._store.complete_upload(upload, self._now())
        await self._bucket.delete(upload.arrival_key)
        await self._bucket.delete(copy)
        if arrived != Digest(blob.size_bytes, blob.digest):
            raise DigestMismatch(_told(Digest(blob.size_bytes, blob.digest)), _told(arrived))

    async def sweep_forever(self) -> None:
        """Removes what uploads left behind, a day after they were begun."""
        while True:
            try:
                while await self.sweep():
                    pass
            except RunstreamError as error:
                logger.warning("uploads not swept", extra={"reason": error.reason})
            except Exception:
                logger.exception("uploads not swept")
            await asyncio.sleep(_SWEEP_SECONDS)

    async def sweep(self) -> int:
        """Forgets old uploads with all their objects; returns how many. Safe from any number of processes at once."""
        old = await self._store.old_uploads(self._now() - UPLOAD_LIFETIME - URL_LIFETIME, _SWEPT_AT_ONCE)
        for upload in old:
            async for each in self._bucket.list(upload.folder):
                await self._bucket.delete(each.key)
            await self._store.forget_upload(upload)
        return len(old)

    async def close(self) -> None:
        """Gives up what is being completed; a later call begins again."""
        tasks = list(self._completing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _told(content: Digest | None) -> str:
    return "nothing" if content is None else f"{content.size_bytes} bytes with SHA-256 {content.sha256}"
