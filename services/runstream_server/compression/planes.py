"""Equally wide elements as planes: the first byte of each element, then the second byte of each, and so on.

The bytes of a plane are stored as what they are above the least of them, in as few bits as that takes: in 0, 1, 2, 4 or
8. Where the same bytes come again and again that is compressed instead. Measured numbers are mostly noise, of which
nothing can be saved; this finds out at a fraction of what trying to compress it costs.

A plane: the least byte, its form (the number of bits, or 255), then the bytes, the first one in the lowest bits; of
form 255 their number when compressed, and these.
"""

import struct
from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runstream_server.compression.codecs import compress, decompress

_PLANE = struct.Struct("<BB")
_LENGTH = struct.Struct("<I")
_COMPRESSED = 255
_WHOLE = 8
_WIDTHS = (0, 1, 2, 4, _WHOLE)
_WIDTH_OF_SPAN = [next(width for width in _WIDTHS if span < 1 << width) for span in range(256)]
_SAMPLE = 128
_WORTH_COMPRESSING = {width: _SAMPLE * (2 ** (-0.6 * width) if width >= 4 else 1) for width in _WIDTHS}
"""Of a sample, how many bytes are equal to others by chance, if they had six tenths of their bits."""

_Bytes: TypeAlias = NDArray[np.uint8]

_Part: TypeAlias = tuple[bytes, bytes | memoryview]
"""Least byte and form of a plane, and its content."""


def pack(rows: NDArray[np.generic]) -> Sequence[bytes]:
    """Packs each row of a table of little-endian elements by itself; many at once take hardly longer than one."""
    elements = rows.view(np.uint8).reshape(*rows.shape, rows.itemsize)
    planes = np.empty((rows.itemsize, *rows.shape), np.uint8)
    for place, plane in enumerate(planes):
        plane[:] = elements[:, :, place]
    least = planes.min(axis=2)
    packed = map(_pack_plane, planes, least, _forms(planes, planes.max(axis=2) - least))
    return [b"".join([part for parts in of_row for part in parts]) for of_row in zip(*packed, strict=True)]


def _forms(planes: _Bytes, spans: _Bytes) -> Sequence[Sequence[int]]:
    """The form of each row of each plane: compressed where bytes nearby are more often equal than by chance."""
    widths = [[_WIDTH_OF_SPAN[span] for span in of_plane] for of_plane in spans.tolist()]
    stride = planes.shape[2] // _SAMPLE
    if stride < 2:
        return widths
    samples = planes[:, :, : stride * _SAMPLE].reshape(*planes.shape[:2], _SAMPLE, stride)
    same = samples[:, :, :, 0] == samples[:, :, :, stride // 2]
    equal = np.add.reduce(same, axis=2, dtype=np.int64).tolist()
    return [
        [_COMPRESSED if count > _WORTH_COMPRESSING[width] else width for width, count in zip(*of_plane, strict=True)]
        for of_plane in zip(widths, equal, strict=True)
    ]


def _pack_plane(plane: _Bytes, least: _Bytes, forms: Sequence[int]) -> Sequence[_Part]:
    """The plane of each row."""
    if forms.count(forms[0]) == len(forms):
        return _pack_alike(plane, least, forms[0])
    return [_pack_alike(plane[row : row + 1], least[row : row + 1], form)[0] for row, form in enumerate(forms)]


def _pack_alike(plane: _Bytes, least: _Bytes, form: int) -> Sequence[_Part]:
    """Packs rows of one form."""
    if form == _COMPRESSED:
        return [_compressed(row) for row in plane]
    if form == _WHOLE:
        head = _PLANE.pack(0, form)
        return [(head, row.data) for row in plane]
    heads = [_PLANE.pack(value, form) for value in least.tolist()]
    if form == 0:
        return [(head, b"") for head in heads]
    return [(head, row.data) for head, row in zip(heads, _narrow(plane - least[:, None], form), strict=True)]


def _compressed(plane: _Bytes) -> tuple[bytes, bytes]:
    content = compress(plane.tobytes())
    return _PLANE.pack(0, _COMPRESSED) + _LENGTH.pack(len(content)), content


def _narrow(plane: _Bytes, width: int) -> _Bytes:
    """Puts several bytes, which fit into 1, 2 or 4 bits, into one, row by row."""
    if width == 1:
        return np.packbits(plane, axis=1, bitorder="little")
    share = 8 // width
    narrow = plane[:, ::share].copy()
    for place in range(1, share):
        part = plane[:, place::share]
        narrow[:, : part.shape[1]] |= part << np.uint8(width * place)
    return narrow


def unpack(content: memoryview, count: int, itemsize: int) -> bytes:
    """Restores one packed row of `count` elements; raises StoredBytesDamaged, ValueError or struct.error."""
    elements = np.empty((count, itemsize), np.uint8)
    for place in range(itemsize):
        content = _unpack_plane(content, elements[:, place])
    return elements.tobytes()


def _unpack_plane(content: memoryview, plane: _Bytes) -> memoryview:
    """Fills a plane; returns what follows it."""
    least, form = _PLANE.unpack_from(content)
    content = content[_PLANE.size :]
    if form == _COMPRESSED:
        (length,) = _LENGTH.unpack_from(content)
        content = content[_LENGTH.size :]
        plane[:] = np.frombuffer(decompress(content[:length], len(plane)), np.uint8)
        return content[length:]
    if form not in _WIDTHS:
        raise ValueError(f"no plane has the form {form}")
    length = -(-len(plane) * form // 8)
    _widen(np.frombuffer(content[:length], np.uint8), plane, form)
    if least:
        plane += np.uint8(least)
    return content[length:]


def _widen(narrow: _Bytes, plane: _Bytes, width: int) -> None:
    """Undoes `_narrow` of one row."""
    if width == 0:
        plane[:] = 0
    elif width == _WHOLE:
        plane[:] = narrow
    elif width == 1:
        plane[:] = np.unpackbits(narrow, count=len(plane), bitorder="little")
    else:
        share, mask = 8 // width, np.uint8(0xFF >> (8 - width))
        for place in range(share):
            part = plane[place::share]
            part[:] = (narrow[: len(part)] >> np.uint8(width * place)) & mask
