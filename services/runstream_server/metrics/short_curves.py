"""Curves of few values as bytes and back, thousands at once: as `chunks` does one by one, byte by byte in tables.

Where a thousand runs log a few numbers each, an object or a call for each column of each series is what takes the time.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.model import Doubles, Int64s, Kind, Points, Segment

_Bytes: TypeAlias = NDArray[np.uint8]

_FORMAT: Final = 3
_HEAD: Final = struct.Struct("<BIIB")
_SEGMENT: Final = struct.Struct("<BIB")
_BLOCK: Final = struct.Struct("<BII")
_RAW: Final = 0
_LINE_BYTES: Final = 17
_CHECKSUM_BYTES: Final = 4
_MAX_COUNT: Final = 64
_LINEAR: Final = 1
_OFFSETS: Final = ("<u1", "<u2", "<u4", "<u8")
_SPANS: Final = np.array([0, *(np.iinfo(kind).max for kind in _OFFSETS[:-1])], np.uint64)
_FORMS: Final = 8
_SINGLE, _DOUBLE = 1, 2
_WORTH_NARROWING: Final = 16
_VALUE_KINDS: Final = {_SINGLE: "<f4", _DOUBLE: "<f8"}
_VALUE_BYTES: Final = {_SINGLE: 4, _DOUBLE: 8}
_OFFSET_BYTES: Final = {_LINEAR + 1 + place: np.dtype(kind).itemsize for place, kind in enumerate(_OFFSETS)}


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


class _Shape(NamedTuple):
    """What chunks have in common that are of one length and have the same in the same places."""

    value_count: int

    forms: tuple[int, ...]
    """Of the steps, if there are any, and of the times."""

    value_form: int

    @property
    def size_bytes(self) -> int:
        values = _BLOCK.size + self.value_count * _VALUE_BYTES[self.value_form]
        integers = sum(_size_of_integers(form, self.value_count) for form in self.forms)
        return _HEAD.size + integers + _SEGMENT.size + values + _CHECKSUM_BYTES


def decode_short_curves(chunks: Sequence[bytes]) -> Sequence[Points | None]:
    """Decodes those chunks that are curves of up to 64 values and undamaged; None for all others."""
    alike: dict[_Shape, list[int]] = {}
    for place, chunk in enumerate(chunks):
        if shape := _shape_of(chunk):
            alike.setdefault(shape, []).append(place)
    decoded: list[Points | None] = [None] * len(chunks)
    for shape, places in alike.items():
        table = np.frombuffer(b"".join([chunks[place] for place in places]), np.uint8).reshape(len(places), -1)
        for place, points in zip(places, _decode(table, shape), strict=True):
            decoded[place] = points
    return decoded


def _shape_of(chunk: bytes) -> _Shape | None:
    try:
        version, count, segments, has_steps = _HEAD.unpack_from(chunk)
        if version != _FORMAT or segments != 1 or has_steps > 1 or not 0 < count <= _MAX_COUNT:
            return None
        place, forms = _HEAD.size, []
        for _ in range(1 + has_steps):
            forms.append(chunk[place])
            place += _size_of_integers(chunk[place], count)
        shape = _Shape(count, tuple(forms), chunk[place + _SEGMENT.size - 1])
        return shape if shape.size_bytes == len(chunk) else None
    except (struct.error, IndexError, KeyError):
        return None


def _size_of_integers(form: int, count: int) -> int:
    return _LINE_BYTES if form == _LINEAR else _LINE_BYTES + _BLOCK.size + (count - 1) * _OFFSET_BYTES[form]


def _decode(table: _Bytes, shape: _Shape) -> Iterator[Points | None]:
    """Decodes chunks of one shape, one in each row."""
    reader = _Reader(table)
    reader.expect(_HEAD.pack(_FORMAT, shape.value_count, 1, len(shape.forms) > 1))
    integers = [_read_integers(reader, form, shape.value_count) for form in shape.forms]
    reader.expect(_SEGMENT.pack(Kind.DOUBLE, shape.value_count, shape.value_form))
    with np.errstate(invalid="ignore"):
        values = reader.block(_VALUE_KINDS[shape.value_form], shape.value_count).astype(np.float64)
    is_sound = reader.is_sound().tolist()
    steps = integers[0] if len(integers) > 1 else None
    for row, (of_times, of_values) in enumerate(zip(integers[-1], values, strict=True)):
        segment = Segment(Kind.DOUBLE, shape.value_count, of_values)
        yield Points(None if steps is None else steps[row], of_times, (segment,)) if is_sound[row] else None


def _read_integers(reader: "_Reader", form: int, count: int) -> Int64s:
    reader.expect(bytes((form,)))
    first, least = (reader.take(8).view("<u8") for _ in range(2))
    integers = np.empty((len(first), count), np.uint64)
    integers[:, :1] = first
    integers[:, 1:] = least
    if form != _LINEAR:
        integers[:, 1:] += reader.block(_OFFSETS[form - _LINEAR - 1], count - 1)
    return np.cumsum(integers, axis=1, dtype=np.uint64).view(np.int64)


class _Reader:
    """Takes a table of bytes apart from left to right, and notes which rows are not as they should be."""

    def __init__(self, table: _Bytes) -> None:
        self._table = table
        self._place = 0
        self._sound = np.ones(len(table), np.bool_)

    def take(self, width: int) -> _Bytes:
        begin, self._place = self._place, self._place + width
        return np.ascontiguousarray(self._table[:, begin : self._place])

    def expect(self, content: bytes) -> None:
        self._sound &= (self.take(len(content)) == np.frombuffer(content, np.uint8)).all(axis=1)

    def block(self, kind: str, count: int) -> NDArray[Any]:
        size = count * np.dtype(kind).itemsize
        self.expect(_BLOCK.pack(_RAW, size, size))
        return self.take(size).view(kind)

    def is_sound(self) -> NDArray[np.bool_]:
        """Which rows are, their checksums included."""
        checksums = np.fromiter(map(zlib.crc32, self._table[:, :-_CHECKSUM_BYTES]), "<u4", len(self._table))
        self._sound &= self.take(_CHECKSUM_BYTES).view("<u4")[:, 0] == checksums
        return self._sound
