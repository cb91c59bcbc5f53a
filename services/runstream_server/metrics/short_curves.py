"""Encodes curves of few values, thousands at once: to the same bytes as `chunks.encode_points`, byte by byte in tables.

Where a thousand runs log a few numbers each, an object or a call for each column of each series is what takes the time.
"""

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.model import Doubles, Int64s, Kind

_Bytes: TypeAlias = NDArray[np.uint8]

_FORMAT: Final = 3
_HEAD: Final = struct.Struct("<BIIB")
_SEGMENT: Final = struct.Struct("<BIB")
_BLOCK: Final = struct.Struct("<BII")
_RAW: Final = 0
_CHECKSUM_BYTES: Final = 4
_LINEAR: Final = 1
_OFFSETS: Final = ("<u1", "<u2", "<u4", "<u8")
_SPANS: Final = np.array([0, *(np.iinfo(kind).max for kind in _OFFSETS[:-1])], np.uint64)
_FORMS: Final = 8
_SINGLE, _DOUBLE = 1, 2
_WORTH_NARROWING: Final = 16


def encode_short_curves(steps: Int64s | None, times: Int64s, values: Doubles) -> Sequence[bytes]:
    """Encodes each row of tables of up to 64 columns, which are stored as they are."""
    integers = [_Integers.of(each) for each in (steps, times) if each is not None]
    singles = _are_single(values)
    alike = singles.astype(np.intp)
    for each in integers:
        alike = alike * _FORMS + each.forms
    encoded: list[bytes] = [b""] * len(values)
    for key in sorted(set(alike.tolist())):
        rows = np.flatnonzero(alike == key)
        table = [_whole(_HEAD.pack(_FORMAT, values.shape[1], 1, steps is not None), len(rows))]
        for each in integers:
            table += each.parts(rows)
        table += _doubles(values[rows], single=bool(singles[rows[0]]))
        data = _with_checksums(table)
        for row, content in zip(rows.tolist(), data, strict=True):
            encoded[row] = content
    return encoded


@dataclass(frozen=True, slots=True)
class _Integers:
    """A table of integers: of each row where it begins, its least stride, and what the strides are above it."""

    first: Int64s
    least: Int64s
    above: NDArray[np.uint64]
    forms: NDArray[np.intp]

    @classmethod
    def of(cls, rows: Int64s) -> "_Integers":
        if rows.shape[1] == 1:
            zeros = np.zeros(len(rows), np.int64)
            return cls(rows[:, 0], zeros, np.empty((len(rows), 0), np.uint64), zeros + _LINEAR)
        strides = rows[:, 1:] - rows[:, :-1]  # wraps around, and back again where it is read
        least = strides.min(axis=1)
        strides -= least[:, None]
        above = strides.view(np.uint64)
        return cls(rows[:, 0], least, above, np.searchsorted(_SPANS, above.max(axis=1)) + _LINEAR)

    def parts(self, rows: NDArray[np.intp]) -> Sequence[_Bytes]:
        """The bytes of rows of one form."""
        form = int(self.forms[rows[0]])
        line = [_whole(bytes((form,)), len(rows)), _bytes(self.first[rows]), _bytes(self.least[rows])]
        if form == _LINEAR:
            return line
        above = self.above[rows].astype(_OFFSETS[form - _LINEAR - 1])
        return [*line, *_block(above)]


def _are_single(values: Doubles) -> NDArray[np.bool_]:
    """Which rows are stored in single precision."""
    if values.shape[1] < _WORTH_NARROWING:
        return np.zeros(len(values), np.bool_)
    with np.errstate(over="ignore", invalid="ignore"):
        back = values.astype("<f4").astype("<f8")
    are_single: NDArray[np.bool_] = (back.view(np.uint64) == values.view(np.uint64)).all(axis=1)
    return are_single


def _doubles(values: Doubles, *, single: bool) -> Sequence[_Bytes]:
    form, kind = (_SINGLE, "<f4") if single else (_DOUBLE, "<f8")
    head = _whole(_SEGMENT.pack(Kind.DOUBLE, values.shape[1], form), len(values))
    with np.errstate(invalid="ignore"):
        return [head, *_block(values.astype(kind))]


def _block(rows: NDArray[np.generic]) -> Sequence[_Bytes]:
    size = rows.shape[1] * rows.itemsize
    return [_whole(_BLOCK.pack(_RAW, size, size), len(rows)), _bytes(rows)]


def _whole(part: bytes, count: int) -> _Bytes:
    """The same bytes in each row."""
    return np.broadcast_to(np.frombuffer(part, np.uint8), (count, len(part)))


def _bytes(rows: NDArray[np.generic]) -> _Bytes:
    """The bytes of each row."""
    return np.ascontiguousarray(rows).reshape(len(rows), -1).view(np.uint8)


def _with_checksums(parts: Sequence[_Bytes]) -> Sequence[bytes]:
    """Puts tables side by side; returns each row with its checksum."""
    count = len(parts[0])
    table = np.concatenate([*parts, np.empty((count, _CHECKSUM_BYTES), np.uint8)], axis=1)
    covered = table[:, :-_CHECKSUM_BYTES]
    checksums = np.fromiter(map(zlib.crc32, covered), "<u4", count)
    table[:, -_CHECKSUM_BYTES:] = _bytes(checksums)
    data, width = table.tobytes(), table.shape[1]
    return [data[begin : begin + width] for begin in range(0, len(data), width)]
