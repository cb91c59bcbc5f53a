"""Blocks of bytes, compressed where that saves something."""

import struct
import threading

import numpy as np
import zstandard
from numpy.typing import NDArray

from runstream_server.envelope import StoredBytesDamaged

_HEAD = struct.Struct("<BII")
_RAW, _ZSTD, _SHUFFLED_ZSTD = range(3)
_WORTH_BYTES = 128
_ARRAY_WORTH_BYTES = 1_024
"""To compress gives up the interpreter, and to get it back may take milliseconds: not for what is small."""

_LEVEL = 1
_FAST_LEVEL = -1
"""A fifth of the time of level 1, for 2 % more space on the noise that measured numbers are."""


class _Codecs(threading.local):
    """Compressors and a decompressor per thread: they are not safe to share."""

    def __init__(self) -> None:
        self.usual = zstandard.ZstdCompressor(level=_LEVEL, write_content_size=False, write_checksum=False)
        self.fast = zstandard.ZstdCompressor(level=_FAST_LEVEL, write_content_size=False, write_checksum=False)
        self.decompressor = zstandard.ZstdDecompressor()


_codecs = _Codecs()


def pack_bytes(data: bytes) -> bytes:
    """Returns a block that holds `data`."""
    return _packed(_codecs.usual, data, _ZSTD) or _raw(data)


def pack_array(array: NDArray[np.generic], *, noise: bool = False) -> bytes:
    """Returns a block that holds the elements of a little-endian array, the first bytes of all elements first.

    `noise` says that hardly anything can be saved, so little is tried.
    """
    if array.nbytes < _ARRAY_WORTH_BYTES:
        return _raw(array.tobytes())
    compressor = _codecs.fast if noise else _codecs.usual
    if array.itemsize == 1:
        return _packed(compressor, array.tobytes(), _ZSTD) or _raw(array.tobytes())
    planes = array.view(np.uint8).reshape(-1, array.itemsize).T
    codec = _SHUFFLED_ZSTD | array.itemsize << 4
    return _packed(compressor, planes.tobytes(), codec) or _raw(array.tobytes())


def _packed(compressor: zstandard.ZstdCompressor, data: bytes, form: int) -> bytes:
    """The compressed block, or nothing if it saves nothing."""
    if len(data) < _WORTH_BYTES:
        return b""
    compressed = compressor.compress(data)
    if len(compressed) >= len(data):
        return b""
    return _HEAD.pack(form, len(compressed), len(data)) + compressed


def _raw(data: bytes) -> bytes:
    return _HEAD.pack(_RAW, len(data), len(data)) + data


def unpack(data: memoryview) -> tuple[bytes, memoryview]:
    """Reads one block at the beginning of `data`; returns what it holds, and the rest of `data`."""
    form, stored, size = _HEAD.unpack_from(data)
    codec, itemsize = form & 15, form >> 4
    content, rest = data[_HEAD.size : _HEAD.size + stored], data[_HEAD.size + stored :]
    if codec == _RAW:
        return bytes(content), rest
    plain = _decompress(content, size)
    if codec == _ZSTD:
        return plain, rest
    return _unshuffle(plain, itemsize), rest


def zstd_frame(data: memoryview) -> memoryview | None:
    """The frame of zstd in the block at the beginning of `data`, if it holds bytes that were compressed as they are."""
    form, stored, _ = _HEAD.unpack_from(data)
    return data[_HEAD.size : _HEAD.size + stored] if form == _ZSTD else None


def _unshuffle(plain: bytes, itemsize: int) -> bytes:
    planes = np.frombuffer(plain, np.uint8).reshape(itemsize, -1)
    elements = np.empty((planes.shape[1], itemsize), np.uint8)
    for index, plane in enumerate(planes):  # several times as fast as copying the transposed array at once
        elements[:, index] = plane
    return elements.tobytes()


def _decompress(content: memoryview, size: int) -> bytes:
    try:
        plain = _codecs.decompressor.decompress(content, max_output_size=size)
    except zstandard.ZstdError as error:
        raise StoredBytesDamaged(str(error)) from error
    if len(plain) != size:
        raise StoredBytesDamaged(f"{len(plain)} bytes instead of {size}")
    return plain
