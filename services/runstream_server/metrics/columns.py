"""Columns as bytes: the smallest of a few forms, each exact to the last bit."""

import struct
from collections.abc import Sequence

import numpy as np

from runstream_server.compression import pack_array, pack_bytes, pack_rows, unpack
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Bools, Doubles, Int64s

_FORM = struct.Struct("<B")
_PAIR = struct.Struct("<qq")
_LINE = struct.Struct("<Bqq")
_LINEAR, _OFFSETS_8, _OFFSETS_16, _OFFSETS_32, _OFFSETS_64 = range(1, 6)
_FLOAT32, _FLOAT64 = range(1, 3)
_WORTH_NARROWING = 16
_MANY = 256
_OFFSETS = {_OFFSETS_8: "<u1", _OFFSETS_16: "<u2", _OFFSETS_32: "<u4", _OFFSETS_64: "<u8"}
_GREATEST = [(form, int(np.iinfo(kind).max)) for form, kind in _OFFSETS.items()]
_SPANS = np.array([0, *(greatest for _, greatest in _GREATEST[:-1])], np.uint64)
"""The greatest span of each form but the last one, in their order."""


def pack_integers(values: Int64s) -> bytes:
    """Encodes 1 or more integers: a start and a constant stride, or differences above the least one."""
    if len(values) >= _MANY:
        return pack_integer_rows(values[None])[0]
    first = int(values[0])
    if len(values) == 1:
        return _LINE.pack(_LINEAR, first, 0)
    strides = values[1:] - values[:-1]  # wraps around, and back again in unpack_integers
    least = int(strides.min())
    offsets = np.subtract(strides, least, out=strides).view(np.uint64)
    form = _form_for(int(offsets.max()))
    head = _LINE.pack(form, first, least)
    return head if form == _LINEAR else head + pack_array(offsets.astype(_OFFSETS[form]))


def pack_integer_rows(rows: Int64s) -> Sequence[bytes]:
    """Encodes each row of 1 or more integers as `pack_integers` does; many at once take hardly longer than one."""
    if rows.shape[1] == 1:
        return [_LINE.pack(_LINEAR, value, 0) for value in rows[:, 0].tolist()]
    strides = rows[:, 1:] - rows[:, :-1]  # wraps around, and back again in unpack_integers
    least = strides.min(axis=1)
    spans = (strides.max(axis=1) - least).view(np.uint64)
    forms = (np.searchsorted(_SPANS, spans) + _LINEAR).tolist()
    heads = list(map(_LINE.pack, forms, rows[:, 0].tolist(), least.tolist()))
    for form in set(forms) - {_LINEAR}:
        chosen = [row for row, of_row in enumerate(forms) if of_row == form]
        kind = _OFFSETS[form]
        offsets = (strides if len(chosen) == len(rows) else strides[chosen]).astype(kind)
        offsets -= least[chosen].astype(kind)[:, None]
        for row, block in zip(chosen, pack_rows(offsets), strict=True):
            heads[row] += block
    return heads


def _form_for(span: int) -> int:
    """The form of strides of which the greatest is that much above the least."""
    if span == 0:
        return _LINEAR
    return next(form for form, greatest in _GREATEST if span <= greatest)


def unpack_integers(data: memoryview, count: int) -> tuple[Int64s, memoryview]:
    """Reads `count` integers at the beginning of `data`; returns them and the rest."""
    (form,) = _FORM.unpack_from(data)
    first, stride = np.array(_PAIR.unpack_from(data, _FORM.size), np.int64).view(np.uint64)
    data = data[_FORM.size + _PAIR.size :]
    values = np.empty(count, np.uint64)
    values[0] = first
    if form == _LINEAR:
        values[1:] = stride
    else:
        content, data = unpack(data)
        values[1:] = np.frombuffer(content, _offsets(form)).astype(np.uint64)
        values[1:] += stride
    return np.cumsum(values, out=values).view(np.int64), data


def _offsets(form: int) -> str:
    if form not in _OFFSETS:
        raise StoredBytesDamaged(f"no integers have the form {form}")
    return _OFFSETS[form]


def pack_doubles(values: Doubles) -> bytes:
    """Encodes numbers, in half the space when each is a single-precision number, as losses of a network often are."""
    return pack_double_rows(values[None])[0]


def pack_double_rows(rows: Doubles) -> Sequence[bytes]:
    """Encodes each row as `pack_doubles` does; many at once take hardly longer than one."""
    if rows.shape[1] < _WORTH_NARROWING:
        return [_FORM.pack(_FLOAT64) + block for block in pack_rows(rows.astype("<f8", copy=False))]
    with np.errstate(over="ignore", invalid="ignore"):
        singles = rows.astype("<f4")
        exact = (singles.astype("<f8").view(np.uint64) == rows.view(np.uint64)).all(axis=1)
    if exact.all():
        return [_FORM.pack(_FLOAT32) + block for block in pack_rows(singles)]
    if exact.any():
        return [pack_double_rows(row[None])[0] for row in rows]
    return [_FORM.pack(_FLOAT64) + block for block in pack_rows(rows.astype("<f8", copy=False))]


def unpack_doubles(data: memoryview) -> tuple[Doubles, memoryview]:
    """Reads numbers at the beginning of `data`; returns them and the rest."""
    (form,) = _FORM.unpack_from(data)
    content, rest = unpack(data[_FORM.size :])
    if form == _FLOAT32:
        with np.errstate(invalid="ignore"):
            return np.frombuffer(content, "<f4").astype(np.float64), rest
    if form == _FLOAT64:
        return np.frombuffer(content, "<f8"), rest
    raise StoredBytesDamaged(f"no doubles have the form {form}")


def pack_bools(values: Bools) -> bytes:
    """Encodes truth values, eight in a byte."""
    return pack_array(np.packbits(values))


def unpack_bools(data: memoryview, count: int) -> tuple[Bools, memoryview]:
    """Reads `count` truth values at the beginning of `data`; returns them and the rest."""
    content, rest = unpack(data)
    return np.unpackbits(np.frombuffer(content, np.uint8), count=count).view(np.bool_), rest


def pack_strings(values: Sequence[str]) -> bytes:
    """Encodes 1 or more texts: their lengths in bytes, then all of them as UTF-8."""
    encoded = [value.encode() for value in values]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    return pack_integers(lengths) + pack_bytes(b"".join(encoded))


def unpack_strings(data: memoryview, count: int) -> tuple[Sequence[str], memoryview]:
    """Reads `count` texts at the beginning of `data`; returns them and the rest."""
    lengths, data = unpack_integers(data, count)
    content, rest = unpack(data)
    ends = np.cumsum(lengths).tolist()
    return [content[start:end].decode() for start, end in zip([0, *ends], ends, strict=False)], rest
