"""Sends files as they are stored, and never less of one than was announced without breaking the connection."""

import logging
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.gateway.http import REQUEST_ID
from runstream_server.gateway.mlflow.artifact_places import Place, artifact_not_found
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.telemetry import request_id

logger = logging.getLogger(__name__)

_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")

_Piece = messages.ReadArtifactResponse
_Pieces = AsyncGenerator[_Piece]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a file."""

    offset: int
    size: int


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


async def send_file(visitor: Visitor, request: web.Request, place: Place) -> web.StreamResponse:
    """Answers with a file, or the range of it that the request asks for; raises MlflowError if there is none."""
    header = request.headers.get("Range", "")
    if not header.strip().lower().startswith("bytes="):
        return await _send(visitor, request, place, None)
    artifact = await _find(visitor, place)
    if request.headers.get("If-Range") not in (None, _tag(artifact)):
        return await _send(visitor, request, place, None)
    try:
        span = read_range(header, artifact.size_bytes)
    except Unsatisfiable:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{artifact.size_bytes}"})
    return await _send(visitor, request, place, span)


async def _find(visitor: Visitor, place: Place) -> messages.Artifact:
    path = place.whole_path
    asked = messages.ListArtifactsRequest(parent=str(place.run), prefix=path, page_size=1)
    page = await visitor.call(visitor.services.artifacts.ListArtifacts, asked, messages.ListArtifactsResponse)
    if not page.artifacts or page.artifacts[0].path != path:
        raise artifact_not_found(place.path)
    return page.artifacts[0]


async def _send(visitor: Visitor, request: web.Request, place: Place, span: Span | None) -> web.StreamResponse:
    asked = messages.ReadArtifactRequest(run=str(place.run), path=place.whole_path)
    if span:
        asked.offset_bytes, asked.limit_bytes = span.offset, span.size
    async with aclosing(visitor.stream(visitor.services.artifacts.ReadArtifact, asked, _Piece)) as pieces:
        artifact, data = await _begin(pieces, place)
        response = _response(artifact, span)
        await response.prepare(request)
        await _copy(data, pieces, request, response)
    return response


async def _begin(pieces: _Pieces, place: Place) -> tuple[messages.Artifact, bytes]:
    """Reads up to the first bytes, so that what fails until then is told with a status."""
    try:
        first = await anext(pieces)
    except Refusal as refusal:
        raise artifact_not_found(place.path) if refusal.reason == "ARTIFACT_NOT_FOUND" else refusal from None
    if first.data:
        return first.artifact, first.data
    async for piece in pieces:
        return first.artifact, piece.data
    return first.artifact, b""


async def _copy(data: bytes, pieces: _Pieces, request: web.Request, response: web.StreamResponse) -> None:
    """Sends what follows the headers; breaks the connection if not all of it comes."""
    left = response.content_length or 0
    try:
        while data:
            await response.write(data)
            left -= len(data)
            data = (await anext(pieces, _Piece())).data
    except Refusal as refusal:
        logger.warning("a file breaks off", extra={"reason": refusal.reason, "path": request.path, "missing": left})
    if left and request.transport is not None:
        request.transport.abort()


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
