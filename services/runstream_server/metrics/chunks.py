"""Points as bytes and back. A chunk describes itself and stays readable for all later versions.

Format 3, in an envelope: the number of points and of segments, the steps, the times, then the segments one after the
other, each its kind, its number of values and the values. Rows of a table are the number of columns, then of each its
name, its kind and its cells; artifacts are what they are, then their paths. Everything is little endian.

Format 2 is the same without blocks of planes, format 1 without rows and artifacts as well.
"""

import struct
from collections.abc import Sequence
from typing import cast

from runstream_server.envelope import StoredBytesDamaged, unwrap, wrap
from runstream_server.metrics.columns import (
    pack_bools,
    pack_double_rows,
    pack_doubles,
    pack_integer_rows,
    pack_integers,
    pack_strings,
    unpack_bools,
    unpack_doubles,
    unpack_integers,
    unpack_strings,
)
from runstream_server.metrics.model import Bools, Doubles, Int64s, Kind, Points, Segment
from runstream_server.metrics.tables import Artifacts, Table, TableColumn

_FORMAT = 3
_READABLE_FORMATS = (1, 2, 3)
_HEAD = struct.Struct("<IIB")
_SEGMENT = struct.Struct("<BI")
_COLUMN_COUNT = struct.Struct("<H")
_COLUMN = struct.Struct("<HB")
_ARTIFACT_KIND = struct.Struct("<B")


def encode_points(points: Points) -> bytes:
    """Encodes 1 or more points."""
    parts = [_HEAD.pack(points.count, len(points.segments), points.steps is not None)]
    if points.steps is not None:
        parts.append(pack_integers(points.steps))
    parts.append(pack_integers(points.times))
    parts.extend(_encode_segment(segment) for segment in points.segments)
    return wrap(_FORMAT, *parts)


def encode_curves(steps: Int64s, times: Int64s, values: Doubles) -> Sequence[bytes]:
    """Encodes points with steps whose values are doubles: each row of the three tables as `encode_points` does."""
    head = _HEAD.pack(times.shape[1], 1, True)
    segment = _SEGMENT.pack(Kind.DOUBLE, times.shape[1])
    columns = zip(pack_integer_rows(steps), pack_integer_rows(times), pack_double_rows(values), strict=True)
    return [wrap(_FORMAT, head, *integers, segment, doubles) for *integers, doubles in columns]


def _encode_segment(segment: Segment) -> bytes:
    return _SEGMENT.pack(segment.kind, segment.count) + _encode_values(segment)


def _encode_values(segment: Segment) -> bytes:
    match segment.kind:
        case Kind.DOUBLE:
            return pack_doubles(cast("Doubles", segment.values))
        case Kind.INT64:
            return pack_integers(cast("Int64s", segment.values))
        case Kind.BOOL:
            return pack_bools(cast("Bools", segment.values))
        case Kind.STRING:
            return pack_strings(segment.strings)
        case Kind.NULL:
            return b""
        case Kind.TABLE:
            columns = segment.table.columns
            return _COLUMN_COUNT.pack(len(columns)) + b"".join(map(_encode_column, columns))
        case Kind.ARTIFACTS:
            return _ARTIFACT_KIND.pack(segment.artifacts.artifact_kind) + pack_strings(segment.artifacts.paths)


def _encode_column(column: TableColumn) -> bytes:
    name = column.name.encode()
    return _COLUMN.pack(len(name), column.cells.kind) + name + _encode_values(column.cells)


def decode_points(data: bytes) -> Points:
    """Decodes what `encode_points` made, by this version or an earlier one; raises StoredBytesDamaged."""
    body = unwrap(data, *_READABLE_FORMATS)
    try:
        return _decode(body)
    except (struct.error, ValueError, IndexError) as error:
        raise StoredBytesDamaged(str(error)) from error


def _decode(body: memoryview) -> Points:
    count, segment_count, has_steps = _HEAD.unpack_from(body)
    body = body[_HEAD.size :]
    steps = None
    if has_steps:
        steps, body = unpack_integers(body, count)
    times, body = unpack_integers(body, count)
    segments = []
    for _ in range(segment_count):
        segment, body = _decode_segment(body)
        segments.append(segment)
    if len(body) or sum(segment.count for segment in segments) != count:
        raise StoredBytesDamaged("a chunk does not have the values it claims")
    return Points(steps, times, segments)


def _decode_segment(body: memoryview) -> tuple[Segment, memoryview]:
    number, count = _SEGMENT.unpack_from(body)
    return _decode_values(Kind(number), count, body[_SEGMENT.size :])


def _decode_values(kind: Kind, count: int, body: memoryview) -> tuple[Segment, memoryview]:
    match kind:
        case Kind.DOUBLE:
            doubles, body = unpack_doubles(body)
            return Segment(kind, count, doubles), body
        case Kind.INT64:
            integers, body = unpack_integers(body, count)
            return Segment(kind, count, integers), body
        case Kind.BOOL:
            bools, body = unpack_bools(body, count)
            return Segment(kind, count, bools), body
        case Kind.STRING:
            strings, body = unpack_strings(body, count)
            return Segment(kind, count, strings), body
        case Kind.NULL:
            return Segment(kind, count, None), body
        case Kind.TABLE:
            table, body = _decode_table(body, count)
            return Segment(kind, count, table), body
        case Kind.ARTIFACTS:
            (artifact_kind,) = _ARTIFACT_KIND.unpack_from(body)
            paths, body = unpack_strings(body[_ARTIFACT_KIND.size :], count)
            return Segment(kind, count, Artifacts(artifact_kind, paths)), body


def _decode_table(body: memoryview, count: int) -> tuple[Table, memoryview]:
    (column_count,) = _COLUMN_COUNT.unpack_from(body)
    body = body[_COLUMN_COUNT.size :]
    columns = []
    for _ in range(column_count):
        length, number = _COLUMN.unpack_from(body)
        name = bytes(body[_COLUMN.size : _COLUMN.size + length]).decode()
        cells, body = _decode_values(Kind(number), count, body[_COLUMN.size + length :])
        columns.append(TableColumn(name, cells))
    return Table(count, columns), body
