"""Reads the bodies of requests."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import ClientPayloadError, StreamReader, web
from aiohttp.http import HttpProcessingError

from runstream_server.gateway.mlflow.errors import MlflowError, wrong

MAX_BODY_BYTES = 32 << 20
"""How large a body may be that is read as a whole."""

_ROOM_BYTES = 128 << 20
_IDLE_SECONDS = 60.0
_RETRY_SECONDS = 1.0


async def next_piece(content: StreamReader) -> bytes:
    """The next bytes of a body; none: the end. Raises MlflowError if it breaks off, or nothing comes for a minute."""
    try:
        async with asyncio.timeout(_IDLE_SECONDS):
            return await content.readany()
    except TimeoutError:
        raise MlflowError("DEADLINE_EXCEEDED", f"nothing of the body came for {_IDLE_SECONDS:.0f} seconds") from None
    except (ClientPayloadError, web.RequestPayloadError, HttpProcessingError, ConnectionError):
        raise MlflowError(
            "BAD_REQUEST", "the body broke off, or is not encoded as it says; nothing was stored"
        ) from None


class Bodies:
    """Reads bodies as a whole, as long as all of a process together have room."""

    def __init__(self, room_bytes: int = _ROOM_BYTES) -> None:
        self._left = room_bytes

    @asynccontextmanager
    async def reading(self, request: web.Request, most: int) -> AsyncIterator[bytes]:
        """Yields the body of a request; its room is taken until the end. Raises MlflowError if it is too large."""
        body = bytearray()
        try:
            while piece := await next_piece(request.content):
                self._check(len(piece), len(body), most)
                self._left -= len(piece)
                body += piece
            yield bytes(body)
        finally:
            self._left += len(body)

    def _check(self, count: int, own: int, most: int) -> None:
        if own + count > most:
            raise wrong(f"the body has more than {most} bytes")
        if count > self._left:
            raise MlflowError(
                "REQUEST_LIMIT_EXCEEDED", "too many bytes are on their way; send again", retry_seconds=_RETRY_SECONDS
            )
