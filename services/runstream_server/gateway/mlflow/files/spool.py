"""Keeps bytes on disk for a while, so that memory does not grow with them."""

import asyncio
import logging
import tempfile
from collections.abc import AsyncIterator
from contextlib import suppress
from types import TracebackType

from runstream_server.gateway.mlflow.errors import MlflowError, wrong

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_SENT_BYTES = 256 * 1024
_RETRY_SECONDS = 10.0


class SpoolRoom:
    """How many bytes all spools of a process may have on disk."""

    def __init__(self, most_bytes: int) -> None:
        self._most = most_bytes
        self._taken = 0

    def take(self, count: int, own: int) -> None:
        """Takes room for more bytes of a spool that has `own` already; raises MlflowError when there is none."""
        if own + count > self._most:
            raise wrong(
                f"a body without Content-Length may have {self._most} bytes here; send its length, or raise"
                " RUNSTREAM_GATEWAY_SPOOL_BYTES"
            )
        if self._taken + count > self._most:
            raise MlflowError(
                "REQUEST_LIMIT_EXCEEDED", "too many bytes are on their way; send again", retry_seconds=_RETRY_SECONDS
            )
        self._taken += count

    def give_back(self, count: int) -> None:
        """Gives room back."""
        self._taken -= count


class Spool:
    """Bytes on disk, in order, without a name."""

    def __init__(self, room: SpoolRoom) -> None:
        self._room = room
        self._file = tempfile.TemporaryFile(prefix="runstream-")  # noqa: SIM115 - closed with the spool
        self._gathered = bytearray()
        self.size = 0

    async def __aenter__(self) -> "Spool":
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._room.give_back(self.size)
        with suppress(OSError):  # what could not be written before cannot be now
            self._file.close()

    async def write(self, piece: bytes) -> None:
        """Appends bytes; raises MlflowError when there is no room for them."""
        self._room.take(len(piece), self.size)
        self.size += len(piece)
        self._gathered += piece
        if len(self._gathered) >= _BLOCK_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Brings all bytes to disk; raises MlflowError when it takes no more."""
        gathered, self._gathered = self._gathered, bytearray()
        try:
            await asyncio.to_thread(self._append, gathered)
        except OSError as error:
            logger.error("no file on its way can be kept", extra={"problem": str(error)})
            raise MlflowError(
                "TEMPORARILY_UNAVAILABLE", "the disk takes no more bytes; send again", retry_seconds=_RETRY_SECONDS
            ) from None

    def _append(self, data: bytearray) -> None:
        self._file.write(data)
        self._file.flush()

    async def read(self, offset: int, size: int) -> AsyncIterator[bytes]:
        """Yields bytes that were flushed."""
        while size:
            block = await asyncio.to_thread(self._read, offset, min(size, _SENT_BYTES))
            yield block
            offset, size = offset + len(block), size - len(block)

    def _read(self, offset: int, size: int) -> bytes:
        self._file.seek(offset)
        block = self._file.read(size)
        if not block:
            raise EOFError("a spool has fewer bytes than were written to it")
        return block

    async def clear(self) -> None:
        """Forgets all bytes."""
        self._room.give_back(self.size)
        self.size = 0
        self._gathered.clear()
        await asyncio.to_thread(self._empty)

    def _empty(self) -> None:
        self._file.seek(0)
        self._file.truncate()
