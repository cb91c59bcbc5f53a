"""Chunks of curves as Postgres takes rows in its binary form: put together in tables, not element by element."""

import struct
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Final

import numpy as np

from runstream_server.metrics.curve_growths import CurveGrowths
from runstream_server.metrics.model import POINT_BYTES

_BEGIN: Final = b"PGCOPY\n\xff\r\n\0" + bytes(8)
_END: Final = b"\xff\xff"
_COLUMNS: Final = struct.Struct(">h")
_LENGTH: Final = struct.Struct(">i")
_CHUNK_COLUMNS: Final = 9
_NUMBERS: Final = np.dtype(
    [
        *(("series_length", ">i4"), ("series", ">i8"), ("start_length", ">i4"), ("start", ">i8")),
        *(("count_length", ">i4"), ("count", ">i4"), ("size_length", ">i4"), ("size", ">i4")),
        ("data_length", ">i4"),
    ]
)
_NO_OVERVIEW: Final = _LENGTH.pack(-1)
_CHECKSUM_BYTES: Final = 4
_REST: Final = _NO_OVERVIEW + _LENGTH.pack(_CHECKSUM_BYTES)
_PARTS_AT_ONCE: Final = 4_000
"""Each piece is a call of the connection, which costs as much as many rows."""


def curve_rows(curves: CurveGrowths, numbers: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
    """The rows of `metrics.chunk`, in the order of its columns, without overviews; in pieces of some 100 KiB."""
    parts = [_BEGIN]
    numbers_of_rows = _numbers(curves, numbers, ends)
    rows = zip(_cut(numbers_of_rows, _NUMBERS.itemsize), curves.chunks, strict=True)
    for append, width in zip(curves.appends, curves.widths, strict=True):
        head = _head(append.key.workspace, append.key.run)
        for of_row, data in islice(rows, width):
            parts += (head, of_row, data, _REST, data[-_CHECKSUM_BYTES:])
        if len(parts) > _PARTS_AT_ONCE:
            yield b"".join(parts)
            parts = []
    parts.append(_END)
    yield b"".join(parts)


def _cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[begin : begin + size] for begin in range(0, len(data), size))


def _head(workspace: str, run: str) -> bytes:
    texts = [text.encode() for text in (workspace, run)]
    return _COLUMNS.pack(_CHUNK_COLUMNS) + b"".join(_LENGTH.pack(len(text)) + text for text in texts)


def _numbers(curves: CurveGrowths, numbers: Sequence[int], ends: Sequence[int]) -> bytes:
    """Of each row what stands between the run and the columns."""
    counts = np.array(curves.counts)
    table = np.empty(len(counts), _NUMBERS)
    table["series_length"] = table["start_length"] = 8
    table["count_length"] = table["size_length"] = 4
    table["series"] = numbers
    table["start"] = np.array(ends) - counts
    table["count"] = counts
    table["size"] = counts * POINT_BYTES
    table["data_length"] = np.fromiter(map(len, curves.chunks), np.int64, len(counts))
    return table.tobytes()
