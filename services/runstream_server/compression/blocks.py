"""Blocks: what is in them and how, then the bytes."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from runstream_server.compression import planes
from runstream_server.compression.codecs import compress, decompress

_HEAD = struct.Struct("<BII")
_RAW, _ZSTD, _SHUFFLED_ZSTD, _PLANES = range(4)
_WORTH_BYTES = 128
_ARRAY_WORTH_BYTES = 1_024
"""To compress gives up the interpreter, and to get it back may take milliseconds: not for what is small."""


def pack_bytes(data: bytes) -> bytes:
    """Returns a block that holds `data`."""
    return _packed(data, _ZSTD) or _raw(data)


def pack_array(array: NDArray[np.generic], *, fast: bool = False) -> bytes:
    """Returns a block that holds the elements of a little-endian array, the first bytes of all elements first."""
    if array.nbytes < _ARRAY_WORTH_BYTES:
        return _raw(array.tobytes())
    if array.itemsize == 1:
        return _packed(array.tobytes(), _ZSTD, fast=fast) or _raw(array.tobytes())
    shuffled = array.view(np.uint8).reshape(-1, array.itemsize).T
    return _packed(shuffled.tobytes(), _form(_SHUFFLED_ZSTD, array.itemsize)) or _raw(array.tobytes())


def pack_rows(rows: NDArray[np.generic]) -> Sequence[bytes]:
    """Returns a block for each row of a table of little-endian elements, much faster than with `pack_array`."""
    size = rows.shape[1] * rows.itemsize
    if size < _ARRAY_WORTH_BYTES:
        head = _HEAD.pack(_RAW, size, size)
        data = rows.tobytes()
        return [head + data[begin : begin + size] for begin in range(0, len(data), size)]
    form = _form(_PLANES, rows.itemsize)
    return [_HEAD.pack(form, len(content), size) + content for content in planes.pack(rows)]


def _form(codec: int, itemsize: int) -> int:
    return codec | itemsize << 4


def _packed(data: bytes, form: int, *, fast: bool = False) -> bytes:
    """The compressed block, or nothing if it saves nothing."""
    if len(data) < _WORTH_BYTES:
        return b""
    compressed = compress(data, fast=fast)
    if len(compressed) >= len(data):
        return b""
    return _HEAD.pack(form, len(compressed), len(data)) + compressed


def _raw(data: bytes) -> bytes:
    return _HEAD.pack(_RAW, len(data), len(data)) + data


def unpack(data: memoryview) -> tuple[bytes, memoryview]:
    """Reads one block at the beginning of `data`; returns what it holds, and the rest of `data`.

    Raises StoredBytesDamaged, ValueError or struct.error.
    """
    form, stored, size = _HEAD.unpack_from(data)
    codec, itemsize = form & 15, form >> 4
    content, rest = data[_HEAD.size : _HEAD.size + stored], data[_HEAD.size + stored :]
    match codec:
        case 0:
            return bytes(content), rest
        case 1:
            return decompress(content, size), rest
        case 2:
            return _unshuffle(decompress(content, size), itemsize), rest
        case 3:
            return planes.unpack(content, size // itemsize, itemsize), rest
        case _:
            raise ValueError(f"no block has the codec {codec}")


def zstd_frame(data: memoryview) -> memoryview | None:
    """The frame of zstd in the block at the beginning of `data`, if it holds bytes that were compressed as they are."""
    form, stored, _ = _HEAD.unpack_from(data)
    return data[_HEAD.size : _HEAD.size + stored] if form == _ZSTD else None


def _unshuffle(plain: bytes, itemsize: int) -> bytes:
    shuffled = np.frombuffer(plain, np.uint8).reshape(itemsize, -1)
    elements = np.empty((shuffled.shape[1], itemsize), np.uint8)
    for index, plane in enumerate(shuffled):  # several times as fast as copying the transposed array at once
        elements[:, index] = plane
    return elements.tobytes()
