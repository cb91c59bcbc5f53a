"""Sends files as they are stored, and never less of one than was announced without breaking the connection."""

import asyncio
import logging
import re
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

import grpc
from aiohttp import web

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.gateway.http import REQUEST_ID
from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.gateway.mlflow.files.places import Place, artifact_not_found
from runstream_server.gateway.mlflow.files.spool import Spool, SpoolRoom
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.telemetry import request_id

logger = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

_PIECE_BYTES = 16 << 20
_READ_AT_ONCE = 12
"""Of the places that the artifact service has, which others use as well."""
_TURN_SECONDS = 60.0
_READ_SECONDS = 120.0
_STALL_SECONDS = 60.0
"""How long a client may take nothing."""


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file."""

    offset: int
    size: int


class _Broken(Exception):
    """A file cannot be sent to its end."""


class Unsatisfiable(Exception):
    """A range has nothing of the file."""


def read_range(header: str, size: int) -> Span | None:
    """The part of a file of `size` bytes that a `Range` asks for; None: all of it, also where several are asked for.

    Raises:
        Unsatisfiable: It begins behind the end.
    """
    match = _RANGE.fullmatch(header.strip().lower())
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        count = min(int(match[2]), size)
        return _some(size - count, count)
    first, last = int(match[1]), min(int(match[2]) if match[2] else size - 1, size - 1)
    if match[2] and int(match[2]) < first:
        return None
    return _some(first, last - first + 1)


def _some(offset: int, size: int) -> Span:
    if size <= 0:
        raise Unsatisfiable
    return Span(offset, size)


class ArtifactDownloads:
    """Sends files piece by piece: each is on disk as a whole before it is sent, so that a client that takes its time
    holds no place of the artifact service meanwhile, and many that want the same file get it together.
    """

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._turns = asyncio.Semaphore(_READ_AT_ONCE)

    async def send(self, visitor: Visitor, request: web.Request, place: Place) -> web.StreamResponse:
        """Answers with a file, or the range of it that the request asks for; raises MlflowError if there is none."""
        header = request.headers.get("Range", "")
        if not header.strip().lower().startswith("bytes="):
            return await self._send(visitor, request, place, None)
        artifact = await _find(visitor, place)
        if request.headers.get("If-Range") not in (None, _tag(artifact)):
            return await self._send(visitor, request, place, None)
        try:
            span = read_range(header, artifact.size_bytes)
        except Unsatisfiable:
            return web.Response(status=416, headers={"Content-Range": f"bytes */{artifact.size_bytes}"})
        return await self._send(visitor, request, place, span)

    async def _send(
        self, visitor: Visitor, request: web.Request, place: Place, span: Span | None
    ) -> web.StreamResponse:
        asked = messages.ReadArtifactRequest(run=str(place.run), path=place.whole_path)
        asked.offset_bytes = span.offset if span else 0
        asked.limit_bytes = min(span.size, _PIECE_BYTES) if span else _PIECE_BYTES
        async with Spool(self._room) as spool:
            try:
                artifact = await self._fetch(visitor, asked, spool)
            except Refusal as refusal:
                raise artifact_not_found(place.path) if refusal.reason == "ARTIFACT_NOT_FOUND" else refusal from None
            response = _response(artifact, span)
            await response.prepare(request)
            try:
                await self._copy(visitor, asked, artifact, spool, response)
            except (Refusal, MlflowError, _Broken, TimeoutError) as error:
                logger.warning("a file breaks off", extra={"path": request.path, "problem": repr(error)[:200]})
                if request.transport is not None:
                    request.transport.abort()
        return response

    async def _copy(
        self,
        visitor: Visitor,
        asked: messages.ReadArtifactRequest,
        artifact: messages.Artifact,
        spool: Spool,
        response: web.StreamResponse,
    ) -> None:
        """Sends what follows the headers, of which the first piece is there; raises an error if not all of it comes."""
        left = response.content_length or 0
        while left:
            if not spool.size:
                raise _Broken("it has fewer bytes than were announced")
            async for block in spool.read(0, spool.size):
                async with asyncio.timeout(_STALL_SECONDS):
                    await response.write(block)
            left -= spool.size
            asked.offset_bytes += spool.size
            asked.limit_bytes = min(left, _PIECE_BYTES)
            if left and (await self._fetch(visitor, asked, spool)).digest != artifact.digest:
                raise _Broken("it was replaced meanwhile")

    async def _fetch(self, visitor: Visitor, asked: messages.ReadArtifactRequest, spool: Spool) -> messages.Artifact:
        """Brings the asked bytes, and nothing else, to a spool; raises Refusal and MlflowError."""
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                await self._turns.acquire()
        except TimeoutError:
            raise MlflowError("REQUEST_LIMIT_EXCEEDED", "too many files are read at once", retry_seconds=5.0) from None
        try:
            return await _read_patiently(visitor, asked, spool)
        finally:
            self._turns.release()


async def _read_patiently(visitor: Visitor, asked: messages.ReadArtifactRequest, spool: Spool) -> messages.Artifact:
    """Reads as `_read` does, again after a while where all places are taken by others."""
    until = asyncio.get_running_loop().time() + _TURN_SECONDS
    while True:
        try:
            return await _read(visitor, asked, spool)
        except Refusal as refusal:
            is_full = refusal.code is grpc.StatusCode.RESOURCE_EXHAUSTED and refusal.retry_seconds is not None
            if not is_full or asyncio.get_running_loop().time() > until:
                raise
            await asyncio.sleep(refusal.retry_seconds or 0.0)


async def _read(visitor: Visitor, asked: messages.ReadArtifactRequest, spool: Spool) -> messages.Artifact:
    artifact = None
    await spool.clear()
    read = visitor.services.artifacts.ReadArtifact
    async with aclosing(visitor.stream(read, asked, messages.ReadArtifactResponse, seconds=_READ_SECONDS)) as pieces:
        async for piece in pieces:
            artifact = piece.artifact if piece.HasField("artifact") else artifact
            await spool.write(piece.data)
    if artifact is None:
        raise AssertionError("a read ended before it said of what")
    await spool.flush()
    return artifact


async def _find(visitor: Visitor, place: Place) -> messages.Artifact:
    path = place.whole_path
    asked = messages.ListArtifactsRequest(parent=str(place.run), prefix=path, page_size=1)
    page = await visitor.call(visitor.services.artifacts.ListArtifacts, asked, messages.ListArtifactsResponse)
    if not page.artifacts or page.artifacts[0].path != path:
        raise artifact_not_found(place.path)
    return page.artifacts[0]


def _tag(artifact: messages.Artifact) -> str:
    return f'"{artifact.digest}"'


def _response(artifact: messages.Artifact, span: Span | None) -> web.StreamResponse:
    name = quote(artifact.path.rpartition("/")[2], safe="")
    headers = {
        "Content-Type": "application/octet-stream",
        "Content-Disposition": f"attachment; filename*=UTF-8''{name}",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Accept-Ranges": "bytes",
        "ETag": _tag(artifact),
        REQUEST_ID: request_id.get(),
    }
    if span:
        end = span.offset + span.size - 1
        headers["Content-Range"] = f"bytes {span.offset}-{end}/{artifact.size_bytes}"
    response = web.StreamResponse(status=206 if span else 200, headers=headers)
    response.content_length = span.size if span else artifact.size_bytes
    return response
