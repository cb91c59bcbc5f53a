"""Zstandard, as all blocks use it."""

import threading
from collections.abc import Sequence
from typing import cast

import zstandard

from runstream_server.envelope import StoredBytesDamaged

_LEVEL = 1
_FAST_LEVEL = -1
"""Half the time of level 1, and hardly more space where little can be saved."""


class _Codecs(threading.local):
    """Compressors and a decompressor per thread: they are not safe to share."""

    def __init__(self) -> None:
        self.usual = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False, write_checksum=False)
        self.fast = zstandard.ZstdCompressor(level=_FAST_LEVEL, write_content_size=False, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def compress(data: bytes, *, fast: bool = False) -> bytes:
    """Compresses; `fast` is for what hardly anything can be saved of."""
    return (_codecs.fast if fast else _codecs.usual).compress(data)


def compress_many(many: Sequence[bytes], fast: bool) -> Sequence[bytes]:
    """Compresses each by itself as `compress` does, and gives up the interpreter once for all of them."""
    compressor = _codecs.fast if fast else _codecs.usual
    return cast("Sequence[bytes]", compressor.multi_compress_to_buffer(list(many)))


def decompress(content: memoryview, size: int) -> bytes:
    """Restores `size` bytes; raises StoredBytesDamaged if there are not as many."""
    try:
        plain = _codecs.decompressor.decompress(content, max_output_size=size)
    except zstandard.ZstdError as error:
        raise StoredBytesDamaged(str(error)) from error
    if len(plain) != size:
        raise StoredBytesDamaged(f"{len(plain)} bytes instead of {size}")
    return plain
