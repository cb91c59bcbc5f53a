"""Takes bytes of uploads through the service, for clients that cannot reach the bucket."""

import asyncio
from collections.abc import AsyncIterator

from runstream_server.artifacts.errors import OffsetMismatch, PartTooSlow
from runstream_server.artifacts.model import MIB, Upload
from runstream_server.artifacts.uploads import Uploads
from runstream_server.errors import InvalidField, ProtocolError
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket

_MAX_PART_BYTES = 8 * MIB
_AT_ONCE = 4
"""How many parts are held in memory; other streams wait, and read nothing meanwhile."""
_IDLE_SECONDS = 60.0
"""How long a stream may send nothing while it holds one of these places."""
_PART_SECONDS = 120.0
"""How long it may hold one for a part, however it sends: 70 KB a second are enough."""


class Relay:
    """Gathers bytes to parts and puts these into the bucket."""

    def __init__(self, uploads: Uploads, bucket: Bucket, *, part_seconds: float = _PART_SECONDS) -> None:
        self._uploads = uploads
        self._bucket = bucket
        self._part_seconds = part_seconds
        self._room = asyncio.Semaphore(_AT_ONCE)

    async def take(self, workspace: WorkspaceName, upload_id: str, offset: int, data: AsyncIterator[bytes]) -> int:
        """Stores bytes from `offset` on, part by part; returns up to where parts are stored.

        Raises:
            UploadNotFound: No such upload was begun within a day.
            UploadCompleted: There is nothing to send any more.
            OffsetMismatch: Parts are stored up to another byte.
            ProtocolError: There are more bytes than were announced.
            PartTooSlow: They come too slowly. What was stored before stays.
        """
        upload = await self._uploads.sendable(workspace, upload_id)
        _check_parts(upload)
        state = await self._uploads.state(workspace, upload_id)
        if offset != state.committed_bytes:
            raise OffsetMismatch(offset, state.committed_bytes)
        pieces = _Pieces(data)
        for number in range(offset // upload.parts.part_bytes + 1, upload.parts.count + 1):
            if not await self._take_part(upload, number, pieces):
                return upload.parts.offset(number)
        await pieces.check_end()
        return upload.parts.size_bytes

    async def _take_part(self, upload: Upload, number: int, pieces: "_Pieces") -> bool:
        """Stores one part; returns False if the stream ended before it was full."""
        size = upload.parts.part_size(number)
        async with self._room:
            try:
                async with asyncio.timeout(self._part_seconds):
                    part = await pieces.take(size)
            except TimeoutError:
                raise PartTooSlow(size, self._part_seconds) from None
            if len(part) < size:
                return False
            await self._bucket.put_part(upload.object, upload.parts_id, number, part)
        return True


class _Pieces:
    """Bytes as they arrive, to be taken as they are needed."""

    def __init__(self, data: AsyncIterator[bytes]) -> None:
        self._data = data
        self._left = b""

    async def take(self, size: int) -> bytes:
        """Returns so many bytes; fewer at the end of the stream."""
        taken: list[bytes] = []
        while size:
            piece = self._left or await self._next()
            if not piece:
                break
            taken.append(piece[:size])
            self._left = piece[size:]
            size -= len(taken[-1])
        return b"".join(taken)

    async def _next(self) -> bytes:
        """The next bytes; none: the end."""
        async with asyncio.timeout(_IDLE_SECONDS):
            async for piece in self._data:
                if piece:
                    return piece
        return b""

    async def check_end(self) -> None:
        """Raises ProtocolError if there are more bytes."""
        if self._left or await self._next():
            raise ProtocolError("there is more data than was announced")


def _check_parts(upload: Upload) -> None:
    if upload.parts.part_bytes > _MAX_PART_BYTES:
        raise InvalidField(
            "start.upload_id",
            f"only parts of up to {_MAX_PART_BYTES} bytes are taken here; begin the upload with multipart set, and"
            " send a blob of more than 78 GiB to the bucket",
        )
