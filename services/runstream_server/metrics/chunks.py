"""Points as bytes and back. A chunk describes itself and stays readable for all later versions.

Format 1, in an envelope: the number of points and of segments, the steps, the times, then the segments one after the
other, each its kind, its number of values and the values. Everything is little endian.
"""

import struct
from typing import cast

from runstream_server.envelope import StoredBytesDamaged, unwrap, wrap
from runstream_server.metrics.columns import (
    pack_bools,
    pack_doubles,
    pack_integers,
    pack_strings,
    unpack_bools,
    unpack_doubles,
    unpack_integers,
    unpack_strings,
)
from runstream_server.metrics.model import Bools, Doubles, Int64s, Kind, Points, Segment

_FORMAT = 1
_HEAD = struct.Struct("<IIB")
_SEGMENT = struct.Struct("<BI")


def encode_points(points: Points) -> bytes:
    """Encodes 1 or more points."""
    parts = [_HEAD.pack(points.count, len(points.segments), points.steps is not None)]
    if points.steps is not None:
        parts.append(pack_integers(points.steps))
    parts.append(pack_integers(points.times))
    parts.extend(_encode_segment(segment) for segment in points.segments)
    return wrap(_FORMAT, b"".join(parts))


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


def decode_points(data: bytes) -> Points:
    """Decodes what `encode_points` made, by this version or an earlier one; raises StoredBytesDamaged."""
    body = unwrap(data, _FORMAT)
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
    kind, body = Kind(number), body[_SEGMENT.size :]
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
