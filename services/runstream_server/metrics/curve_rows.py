"""Chunks of curves as Postgres takes rows in its binary form: put together in tables, not element by element."""

import struct
from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from runstream_server.envelope import checksum_of
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
_REST: Final = _NO_OVERVIEW + _LENGTH.pack(4)


def curve_rows(curves: CurveGrowths, numbers: Sequence[int], ends: Sequence[int]) -> Iterator[bytes]:
    """The rows of `metrics.chunk`, in the order of its columns; overviews have none."""
    yield _BEGIN
    table = _numbers(curves, numbers, ends)
    size = _NUMBERS.itemsize
    begin = 0
    for append, width in zip(curves.appends, curves.widths, strict=True):
        head = _head(append.key.workspace, append.key.run)
        parts: list[bytes] = []
        for row, data in enumerate(curves.chunks[begin : begin + width], begin):
            parts += (head, table[row * size : row * size + size], data, _REST, checksum_of(data))
        yield b"".join(parts)
        begin += width
    yield _END


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
