"""Takes in the bytes of large blobs, part by part: only what was verified becomes known.

The parts of an upload are made an object of its own key, and from then on no client can write them any more:
permission to send a part ends with the parts. That object is read once, hashed on the way, and if it is what was
announced the database says that the blob is there. Nothing is ever copied. A crash in between leaves an object that no
blob refers to, which is removed a day later.
"""

import asyncio
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from datetime import datetime
from functools import partial

from runstream_server.artifacts.digesting import Digested, digest_file, digest_stream
from runstream_server.artifacts.errors import DigestMismatch, UploadCompleted, UploadIncomplete, UploadNotFound
from runstream_server.artifacts.garbage import Garbage
from runstream_server.artifacts.model import (
    UPLOAD_LIFETIME,
    URL_LIFETIME,
    BegunUpload,
    Content,
    Parts,
    PartUpload,
    Upload,
    UploadState,
)
from runstream_server.artifacts.telemetry import REFUSED_UPLOADS, VERIFIED_BYTES
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.errors import InvalidField
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket, ObjectMissing, PartInfo, ReadAhead

logger = logging.getLogger(__name__)

_VERIFIED_AT_ONCE = 8


class Uploads:
    """Begins and completes uploads."""

    def __init__(
        self,
        store: UploadStore,
        bucket: Bucket,
        garbage: Garbage,
        now: Callable[[], datetime],
        *,
        read_requests: int = 1,
    ) -> None:
        self._store = store
        self._bucket = bucket
        self._ahead = ReadAhead(bucket, read_requests)
        self._garbage = garbage
        self._now = now
        self._verifying = asyncio.Semaphore(_VERIFIED_AT_ONCE)
        self._completing: dict[str, asyncio.Task[None]] = {}

    async def begin(self, workspace: WorkspaceName, digest: str | None, parts: Parts) -> BegunUpload:
        """Begins an upload of one byte or more; the digest may be told at the end."""
        upload_id = uuid.uuid4().hex
        key = f"blobs/sha256/{digest[:2]}/{digest}.{upload_id}" if digest else f"blobs/unnamed/{upload_id}"
        parts_id = await self._bucket.begin_parts(key)
        upload = Upload(workspace.workspace, upload_id, digest, parts, key, parts_id, self._now())
        await self._store.add(upload)
        if parts.count > 1:
            return BegunUpload(upload, None)
        return BegunUpload(upload, (await self._part(upload, 1)).put)

    async def urls(self, workspace: WorkspaceName, upload_id: str, numbers: Sequence[int]) -> Sequence[PartUpload]:
        """Returns where to send parts, in the order of their numbers.

        Raises:
            UploadNotFound: No such upload was begun within a day.
            UploadCompleted: There is nothing to send any more.
            InvalidField: There is no part with a number.
        """
        upload = await self.sendable(workspace, upload_id)
        for place, number in enumerate(numbers):
            if not 1 <= number <= upload.parts.count:
                raise InvalidField(f"part_numbers[{place}]", f"expected 1 to {upload.parts.count}; got {number}")
        found = []
        for number in numbers:
            found.append(await self._part(upload, number))
            await asyncio.sleep(0)  # signing is work without waiting: others go on in between
        return found

    async def _part(self, upload: Upload, number: int) -> PartUpload:
        size = upload.parts.part_size(number)
        put = await self._bucket.presign_part(upload.object, upload.parts_id, number, size, URL_LIFETIME)
        return PartUpload(number, upload.parts.offset(number), size, put)

    async def sendable(self, workspace: WorkspaceName, upload_id: str) -> Upload:
        """Returns an upload that takes bytes; raises as `urls` does."""
        upload = await self._find(workspace.workspace, upload_id)
        if upload.completed:
            raise UploadCompleted(upload_id)
        return upload

    async def state(self, workspace: WorkspaceName, upload_id: str) -> UploadState:
        """Says which parts have arrived; raises UploadNotFound."""
        upload = await self._find(workspace.workspace, upload_id)
        if upload.completed:
            return UploadState(upload, ())
        _, missing = await self._arrived(upload)
        return UploadState(upload, missing)

    async def abort(self, workspace: WorkspaceName, upload_id: str) -> None:
        """Gives up an upload that is not completed, and removes its parts."""
        if await self._store.give_up(workspace.workspace, upload_id, self._now()):
            self._garbage.collect_soon()

    async def complete(self, workspace: WorkspaceName, upload_id: str, digest: str | None) -> None:
        """Verifies what arrived and makes the blob known. Doing so again changes nothing.

        The work goes on when the caller goes away: a later call finds it done, however long a large blob takes.

        Raises:
            UploadNotFound: No such upload was begun within a day.
            UploadIncomplete: Parts are missing.
            DigestMismatch: Other bytes arrived; they were removed.
            InvalidField: The digest was told neither before nor now, or another one before.
        """
        upload = await self._find(workspace.workspace, upload_id)
        if (digest or upload.digest) != (upload.digest or digest):
            raise InvalidField("digest", f"the upload was begun with {upload.digest}")
        if not (digest or upload.digest):
            raise InvalidField("digest", "the upload was begun without a digest, so it is needed here")
        if not upload.completed:
            await asyncio.shield(self._completion(upload, digest or upload.digest or ""))

    async def _find(self, workspace: str, upload_id: str) -> Upload:
        upload = await self._store.find(workspace, upload_id, self._now() - UPLOAD_LIFETIME)
        if upload is None:
            raise UploadNotFound(upload_id)
        return upload

    def _completion(self, upload: Upload, digest: str) -> "asyncio.Task[None]":
        """The one task of this process that completes an upload with this digest."""
        key = f"{upload.upload_id} {digest}"
        if key not in self._completing:
            task = asyncio.create_task(self._complete(upload, digest), name=f"complete-upload-{upload.upload_id}")
            task.add_done_callback(partial(self._completed, key))
            self._completing[key] = task
        return self._completing[key]

    def _completed(self, key: str, task: "asyncio.Task[None]") -> None:
        del self._completing[key]
        if not task.cancelled():
            task.exception()  # told to the callers, if there still are any

    async def _complete(self, upload: Upload, digest: str) -> None:
        async with self._verifying:
            await self._make_whole(upload)
            digested = await self._digest(upload)
            VERIFIED_BYTES.inc(digested.blob.size_bytes)
            if digested.blob.digest != digest:
                REFUSED_UPLOADS.inc()
                await self._refuse(upload)
                raise DigestMismatch(digest, digested.blob.digest)
            content = Content(digested.blob, upload.object, 0, digested.checksums)
            if not await self._store.complete(upload, content, self._now()):
                raise UploadNotFound(upload.upload_id)

    async def _digest(self, upload: Upload) -> Digested:
        """Reads what arrived: from the disk where the store is on this machine, which takes half as long."""
        file = self._bucket.file_of(upload.object)
        if file is not None:
            try:
                return await digest_file(file)
            except OSError as error:
                logger.warning("object not read from its file", extra={"key": upload.object, "error": str(error)})
        async with aclosing(self._ahead.read(upload.object, upload.parts.size_bytes)) as chunks:
            return await digest_stream(chunks)

    async def _make_whole(self, upload: Upload) -> None:
        """Makes an object of the parts, unless it is one already."""
        arrived, missing = await self._arrived(upload)
        if missing:
            raise UploadIncomplete(upload.upload_id, missing[0])
        if arrived:
            tags = [arrived[number].tag for number in range(1, upload.parts.count + 1)]
            try:
                await self._bucket.complete_parts(upload.object, upload.parts_id, tags)
            except ObjectMissing:
                if not await self._is_whole(upload):
                    raise UploadNotFound(upload.upload_id) from None

    async def _arrived(self, upload: Upload) -> tuple[Mapping[int, PartInfo], Sequence[int]]:
        """Returns the parts that are there and the numbers of those that are not; neither when they are an object.

        A store that was killed just after it made the object may still have some of the parts.
        """
        try:
            arrived = await self._bucket.list_parts(upload.object, upload.parts_id)
            missing = _missing(upload.parts, arrived)
        except ObjectMissing:
            if not await self._is_whole(upload):
                raise UploadNotFound(upload.upload_id) from None
            return {}, ()
        return ({}, ()) if missing and await self._is_whole(upload) else (arrived, missing)

    async def _is_whole(self, upload: Upload) -> bool:
        info = await self._bucket.head(upload.object)
        return info is not None and info.size_bytes == upload.parts.size_bytes

    async def _refuse(self, upload: Upload) -> None:
        """Removes an upload whose bytes are others than were announced."""
        if await self._store.give_up(upload.workspace, upload.upload_id, self._now()):
            self._garbage.collect_soon()

    async def close(self) -> None:
        """Gives up what is being completed; a later call begins again."""
        tasks = list(self._completing.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _missing(parts: Parts, arrived: Mapping[int, PartInfo]) -> Sequence[int]:
    """The numbers of the parts that are not there with the size they should have."""
    return [
        number
        for number in range(1, parts.count + 1)
        if number not in arrived or arrived[number].size_bytes != parts.part_size(number)
    ]
