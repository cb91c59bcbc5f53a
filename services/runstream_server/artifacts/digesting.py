"""What bytes are: their SHA-256, which names them, and a CRC-32 of each 256 KiB, by which ranges are checked."""

import asyncio
import hashlib
import struct
import threading
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

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


async def digest_file(file: Path) -> Digested:
    """Digests a file that nobody writes to, in two threads, which stop when this is cancelled.

    Raises:
        OSError: It cannot be read.
    """
    unwanted = threading.Event()
    try:
        (digest, size), checksums = await asyncio.gather(
            asyncio.to_thread(_sha256_of, file, unwanted), asyncio.to_thread(_checksums_of, file, unwanted)
        )
    finally:
        unwanted.set()
    return Digested(Blob(digest, size), checksums)


def _sha256_of(file: Path, unwanted: threading.Event) -> tuple[str, int]:
    """The SHA-256 of a file, and how many bytes it has."""
    sha256, size = hashlib.sha256(), 0
    for block in _blocks_of(file, _BATCH_BYTES, unwanted):
        sha256.update(block)
        size += len(block)
    return sha256.hexdigest(), size


def _checksums_of(file: Path, unwanted: threading.Event) -> bytes:
    return b"".join(_CHECKSUM.pack(zlib.crc32(block)) for block in _blocks_of(file, BLOCK_BYTES, unwanted))


def _blocks_of(file: Path, size: int, unwanted: threading.Event) -> Iterator[memoryview]:
    """The blocks of a file, each valid until the next one; only the last is shorter."""
    buffer = memoryview(bytearray(size))
    with file.open("rb") as opened:
        while not unwanted.is_set() and (count := opened.readinto(buffer)):
            yield buffer[:count]


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
