"""What bytes are: their SHA-256, which names them, and a CRC-32 of each 256 KiB, by which ranges are checked."""

import asyncio
import hashlib
import struct
import zlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from runstream_server.artifacts.model import BLOCK_BYTES, Blob

_CHECKSUM = struct.Struct("<I")
_BATCH_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Digested:
    """What bytes turned out to be."""

    blob: Blob
    checksums: bytes
    """As in `Content.checksums`."""


class Digester:
    """Takes bytes in order."""

    def __init__(self) -> None:
        self._sha256 = hashlib.sha256()
        self._checksums = bytearray()
        self._crc = 0
        self._size = 0

    def update(self, data: bytes) -> None:
        """Takes the next bytes."""
        self._sha256.update(data)
        view = memoryview(data)
        while view:
            piece = view[: BLOCK_BYTES - self._size % BLOCK_BYTES]
            self._crc = zlib.crc32(piece, self._crc)
            self._size += len(piece)
            view = view[len(piece) :]
            if self._size % BLOCK_BYTES == 0:
                self._end_block()

    def _end_block(self) -> None:
        self._checksums += _CHECKSUM.pack(self._crc)
        self._crc = 0

    def finish(self) -> Digested:
        """Says what came; to be called once."""
        if self._size % BLOCK_BYTES:
            self._end_block()
        return Digested(Blob(self._sha256.hexdigest(), self._size), bytes(self._checksums))


def digest_of(data: bytes) -> Digested:
    """Says what bytes in memory are."""
    if 0 < len(data) <= BLOCK_BYTES:
        return Digested(Blob(hashlib.sha256(data).hexdigest(), len(data)), _CHECKSUM.pack(zlib.crc32(data)))
    digester = Digester()
    digester.update(data)
    return digester.finish()


def block_is_well(checksums: bytes, number: int, block: bytes) -> bool:
    """Whether a block, counted from 0, is what it was."""
    place = number * _CHECKSUM.size
    return checksums[place : place + _CHECKSUM.size] == _CHECKSUM.pack(zlib.crc32(block))


async def digest_stream(chunks: AsyncIterator[bytes]) -> Digested:
    """Digests what a stream yields, in a thread, while the next bytes arrive. Holds 2 MiB or so of them."""
    digester = Digester()
    working = asyncio.ensure_future(asyncio.sleep(0))
    batch: list[bytes] = []
    room = _BATCH_BYTES
    async for chunk in chunks:
        batch.append(chunk)
        room -= len(chunk)
        if room <= 0:
            await working
            working = asyncio.ensure_future(asyncio.to_thread(_update, digester, batch))
            batch, room = [], _BATCH_BYTES
    await working
    _update(digester, batch)
    return digester.finish()


def _update(digester: Digester, batch: Sequence[bytes]) -> None:
    for chunk in batch:
        digester.update(chunk)
