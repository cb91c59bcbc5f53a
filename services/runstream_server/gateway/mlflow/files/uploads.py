"""Takes the bytes of files and brings them into the workspace.

A body of known length goes on in pieces: each is on disk as a whole before it is sent, so that a slow client holds no
place that others wait for. One of unknown length is on disk as a whole, since uploads are announced with their size.
"""

import hashlib
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import grpc
from aiohttp import StreamReader

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.gateway.mlflow.bodies import next_piece
from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.files.spool import Spool, SpoolRoom
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor

_SMALL_BYTES = 1 << 20
"""What travels in one message."""
_SENT_BYTES = 64 << 20
"""What is sent in one call: eight parts."""
_SENDING_SECONDS = 300.0
_VERIFYING_SECONDS = 60.0
_MOST_VERIFYING_CALLS = 60


@dataclass
class Body:
    """The bytes of a request as they arrive, hashed on the way."""

    content: StreamReader

    length: int | None
    """None: nobody knows."""

    _hash: Any = field(default_factory=hashlib.sha256)

    async def take(self) -> bytes:
        """The next bytes; none: the end. Raises MlflowError if the body breaks off, or nothing comes for a minute."""
        piece = await next_piece(self.content)
        self._hash.update(piece)
        return piece

    @property
    def digest(self) -> str:
        """SHA-256 of what was taken."""
        return str(self._hash.hexdigest())


class ArtifactUploads:
    """Stores bodies as blobs."""

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room

    async def store(self, visitor: Visitor, body: Body) -> str:
        """Stores a body in the workspace of the visitor, if all of it comes; returns its SHA-256."""
        head = bytearray()
        while len(head) <= _SMALL_BYTES:
            piece = await body.take()
            if not piece:
                return await _store_small(visitor, bytes(head))
            head += piece
        async with Spool(self._room) as spool:
            await spool.write(bytes(head))
            if body.length is None:
                await self._store_whole(visitor, body, spool)
            else:
                await self._store_pieces(visitor, body, spool, body.length)
        return body.digest

    async def _store_whole(self, visitor: Visitor, body: Body, spool: Spool) -> None:
        while piece := await body.take():
            await spool.write(piece)
        await spool.flush()
        upload = await _begin(visitor, spool.size, body.digest)
        if upload is None:
            return
        async with upload:
            for offset in range(0, spool.size, _SENT_BYTES):
                await upload.send(offset, spool.read(offset, min(_SENT_BYTES, spool.size - offset)))
            await upload.complete(body.digest)

    async def _store_pieces(self, visitor: Visitor, body: Body, spool: Spool, length: int) -> None:
        upload = await _begin(visitor, length, "")
        if upload is None:
            raise AssertionError("an upload without a digest exists already")
        async with upload:
            sent, rest = 0, b""
            while sent < length:
                rest = await _fill(spool, body, min(_SENT_BYTES, length - sent), rest)
                await upload.send(sent, spool.read(0, spool.size))
                sent += spool.size
                await spool.clear()
            await upload.complete(body.digest)


async def _fill(spool: Spool, body: Body, size: int, piece: bytes) -> bytes:
    """Fills a spool up to a size, beginning with `piece`; what came beyond is returned."""
    while True:
        taken = piece[: size - spool.size]
        await spool.write(taken)
        if spool.size == size:
            await spool.flush()
            return piece[len(taken) :]
        piece = await body.take()
        if not piece:
            raise MlflowError("BAD_REQUEST", "the body has fewer bytes than it says; nothing was stored")


async def _store_small(visitor: Visitor, data: bytes) -> str:
    request = messages.BatchUploadBlobsRequest(parent=str(visitor.workspace), blobs=[messages.SmallBlob(data=data)])
    response = await visitor.call(
        visitor.services.artifacts.BatchUploadBlobs, request, messages.BatchUploadBlobsResponse
    )
    return response.digests[0]


async def _begin(visitor: Visitor, size: int, digest: str) -> "_Upload | None":
    """Begins an upload; None: the workspace has these bytes."""
    request = messages.BeginUploadRequest(parent=str(visitor.workspace), digest=digest, size_bytes=size, multipart=True)
    begun = await visitor.call(visitor.services.artifacts.BeginUpload, request, messages.BeginUploadResponse)
    return None if begun.exists else _Upload(visitor, begun.upload_id)


class _Upload:
    """An upload that was begun; left by an error, it is given up."""

    def __init__(self, visitor: Visitor, upload_id: str) -> None:
        self._visitor = visitor
        self._artifacts = visitor.services.artifacts
        self._named = {"parent": str(visitor.workspace), "upload_id": upload_id}

    async def __aenter__(self) -> "_Upload":
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            with suppress(Refusal):
                request = messages.AbortUploadRequest(**self._named)
                await self._visitor.call(self._artifacts.AbortUpload, request, messages.AbortUploadResponse)

    async def send(self, offset: int, blocks: AsyncIterator[bytes]) -> None:
        """Sends the next bytes, which must be whole parts but for the end."""
        start = messages.UploadBlobStart(**self._named, offset_bytes=offset)

        async def requests() -> AsyncIterator[messages.UploadBlobRequest]:
            yield messages.UploadBlobRequest(start=start)
            async for block in blocks:
                yield messages.UploadBlobRequest(data=block)

        await self._visitor.call(
            self._artifacts.UploadBlob, requests(), messages.UploadBlobResponse, seconds=_SENDING_SECONDS
        )

    async def complete(self, digest: str) -> None:
        """Waits until what was sent is verified."""
        request = messages.CompleteUploadRequest(**self._named, digest=digest)
        for left in reversed(range(_MOST_VERIFYING_CALLS)):
            try:
                await self._visitor.call(
                    self._artifacts.CompleteUpload,
                    request,
                    messages.CompleteUploadResponse,
                    seconds=_VERIFYING_SECONDS,
                )
            except Refusal as refusal:
                if refusal.code is not grpc.StatusCode.DEADLINE_EXCEEDED or not left:
                    raise
            else:
                return
