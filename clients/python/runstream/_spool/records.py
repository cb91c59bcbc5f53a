"""Writes and reads the records of a spool; `runstream._spool.format` says what they look like."""

import json
import struct
import sys
import zlib
from array import array
from base64 import b64decode, b64encode
from typing import NamedTuple, TypeAlias

from runstream._spool.events import Refusal
from runstream._spool.format import (
    BOOL,
    DOUBLE,
    END_RUN,
    FINISH,
    INT64,
    KIND_MASK,
    LIST,
    MARK,
    MAX_BODY_BYTES,
    NULL,
    RECORD_HEAD_BYTES,
    REFUSED,
    SHAPE_MASK,
    STEPPED,
    TEXT,
    TYPES,
    VALUE,
)

Numbers: TypeAlias = "array[float] | array[int]"
Scalar = float | int | bool | str | None
Column: TypeAlias = "array[float] | array[int] | list[str] | int"
"""Values of one kind: doubles as `array("d")`, integers as `array("q")`, truth values as `array("B")`, texts, or how
many nulls there are."""

_HEAD = struct.Struct("<II")
_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")
_DOUBLE_VALUE = struct.Struct("<IBIqd")
_DOUBLE_STEPPED = struct.Struct("<IBIqqd")
_VALUE_HEAD = struct.Struct("<BIq")
_STEPPED_HEAD = struct.Struct("<BIqq")
_LIST_HEAD = struct.Struct("<BIqI")
_SCALARS = {DOUBLE: struct.Struct("<d"), INT64: struct.Struct("<q"), BOOL: struct.Struct("<B")}
_ARRAY_CODES = {DOUBLE: "d", INT64: "q", BOOL: "B"}


class Record(NamedTuple):
    """A record of a spool."""

    type: int
    start: int
    """Where it begins in the file."""
    end: int
    """Where the next one begins."""
    body: bytes
    """Type and payload."""


class EndOfRun(NamedTuple):
    """How a run is to end: the services were away when it did."""

    method: str
    """The name of the rpc."""
    time: int
    """Microseconds since the Unix epoch."""
    request: bytes
    outputs: list[tuple[str, str]]
    """Files that are uploaded before: name in the run, and path on this machine."""


class Values(NamedTuple):
    """What a VALUE, STEPPED or LIST record holds."""

    id: int
    kind: int
    time: int
    step: int | None
    value_count: int
    column: Column


def frame(body: bytes) -> bytes:
    """A record with this body."""
    checked = _U32.pack(len(body)) + body
    return _U32.pack(zlib.crc32(checked)) + checked


def double_record(id_: int, time: int, value: float) -> bytes:
    """A VALUE record of a double, which nearly every record is: the same as `value_record`, in one step."""
    checked = _DOUBLE_VALUE.pack(_DOUBLE_VALUE.size - 4, VALUE | DOUBLE, id_, time, value)
    return _U32.pack(zlib.crc32(checked)) + checked


def double_stepped_record(id_: int, time: int, step: int, value: float) -> bytes:
    """A STEPPED record of a double, in one step."""
    checked = _DOUBLE_STEPPED.pack(_DOUBLE_STEPPED.size - 4, STEPPED | DOUBLE, id_, time, step, value)
    return _U32.pack(zlib.crc32(checked)) + checked


def value_record(kind: int, id_: int, time: int, step: int | None, value: Scalar) -> bytes:
    """A VALUE record, or with a step a STEPPED record."""
    if step is None:
        head = _VALUE_HEAD.pack(VALUE | kind, id_, time)
    else:
        head = _STEPPED_HEAD.pack(STEPPED | kind, id_, time, step)
    return frame(head + _encode_scalar(kind, value))


def list_record(kind: int, id_: int, time: int, column: Column) -> bytes:
    """A LIST record of all values of `column`."""
    count = column if isinstance(column, int) else len(column)
    return frame(_LIST_HEAD.pack(LIST | kind, id_, time, count) + encode_column(column))


def text_record(type_: int, id_: int, text: bytes) -> bytes:
    """A DEFINE or DESCRIBE record."""
    return frame(bytes([type_]) + _U32.pack(id_) + text)


def end_record(end: EndOfRun) -> bytes:
    """An END_RUN record."""
    content = [end.method, end.time, b64encode(end.request).decode(), end.outputs]
    return frame(bytes([END_RUN]) + json.dumps(content).encode())


def decode_end(body: bytes) -> EndOfRun:
    """What an END_RUN record says."""
    method, time, request, outputs = json.loads(body[1:])
    return EndOfRun(method, time, b64decode(request), [(name, path) for name, path in outputs])


def refused_record(refusal: Refusal) -> bytes:
    """A REFUSED record."""
    return frame(bytes([REFUSED]) + json.dumps(refusal).encode())


def follow_record(type_: int, log: str, local: str) -> bytes:
    """A FOLLOW_FILE or FOLLOW_FOLDER record."""
    return frame(bytes([type_]) + json.dumps([log, local]).encode())


def mark_record(number: int) -> bytes:
    """A MARK record."""
    return frame(bytes([MARK]) + _U64.pack(number))


def finish_record(*, goes_on: bool = False) -> bytes:
    """A FINISH record; `goes_on`: in another spool."""
    return frame(bytes([FINISH, 1] if goes_on else [FINISH]))


def decode_finish(body: bytes) -> bool:
    """Whether the process that wrote a FINISH record goes on in another spool."""
    return body[1:] == b"\x01"


def record_at(data: bytes, at: int, base: int) -> Record | None:
    """The record at index `at` of `data`, which stands at offset `base` of the file; None: no whole, intact one."""
    if len(data) - at < RECORD_HEAD_BYTES:
        return None
    crc, length = _HEAD.unpack_from(data, at)
    start, end = at + RECORD_HEAD_BYTES, at + RECORD_HEAD_BYTES + length
    if not 0 < length <= MAX_BODY_BYTES or end > len(data) or data[start] not in TYPES:
        return None
    if zlib.crc32(data[at + 4 : end]) != crc:
        return None
    return Record(data[start], base + at, base + end, data[start:end])


def decode_text(body: bytes) -> tuple[int, str]:
    """Id and text of a DEFINE or DESCRIBE record."""
    return _U32.unpack_from(body, 1)[0], body[5:].decode()


def decode_refused(body: bytes) -> Refusal:
    """What a REFUSED record says."""
    return Refusal(*json.loads(body[1:]))


def decode_follow(body: bytes) -> tuple[str, str]:
    """Log path and local path of a FOLLOW_FILE or FOLLOW_FOLDER record."""
    log, local = json.loads(body[1:])
    return log, local


def decode_mark(body: bytes) -> int:
    """The number of a MARK record."""
    return int(_U64.unpack_from(body, 1)[0])


def decode_values(body: bytes) -> Values:
    """The values of a VALUE, STEPPED or LIST record."""
    shape, kind = body[0] & SHAPE_MASK, body[0] & KIND_MASK
    if shape == LIST:
        _, id_, time, count = _LIST_HEAD.unpack_from(body)
        return Values(id_, kind, time, None, count, decode_column(kind, count, body[_LIST_HEAD.size :]))
    if shape == STEPPED:
        _, id_, time, step = _STEPPED_HEAD.unpack_from(body)
        return Values(id_, kind, time, step, 1, _decode_single(kind, body[_STEPPED_HEAD.size :]))
    _, id_, time = _VALUE_HEAD.unpack_from(body)
    return Values(id_, kind, time, None, 1, _decode_single(kind, body[_VALUE_HEAD.size :]))


def little_endian(numbers: Numbers) -> bytes:
    """The bytes of an array as they stand in a file or message."""
    return (numbers if sys.byteorder == "little" else _swapped(numbers)).tobytes()


def _encode_scalar(kind: int, value: Scalar) -> bytes:
    if kind == NULL:
        return b""
    return value.encode() if isinstance(value, str) else _SCALARS[kind].pack(value)


def encode_column(column: Column) -> bytes:
    """Values as they stand in a LIST record."""
    if isinstance(column, int):
        return b""
    if isinstance(column, list):
        return b"".join(_U32.pack(len(text)) + text for text in map(str.encode, column))
    return little_endian(column)


def _decode_single(kind: int, data: bytes) -> Column:
    return [data.decode()] if kind == TEXT else decode_column(kind, 1, data)


def decode_column(kind: int, count: int, data: bytes) -> Column:
    """What `encode_column` made of `count` values."""
    if kind == NULL:
        return count
    if kind == TEXT:
        return _decode_texts(count, data)
    numbers: Numbers = array(_ARRAY_CODES[kind], data)
    return numbers if sys.byteorder == "little" else _swapped(numbers)


def _decode_texts(count: int, data: bytes) -> list[str]:
    texts, at = [], 0
    for _ in range(count):
        start = at + _U32.size
        at = start + _U32.unpack_from(data, at)[0]
        texts.append(data[start:at].decode())
    return texts


def _swapped(numbers: Numbers) -> Numbers:
    swapped = numbers[:]
    swapped.byteswap()
    return swapped
