"""Makes chunks of points: joins what belongs together, sums it up, encodes it."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.chunks import encode_points
from runstream_server.metrics.curves import encode_curves, is_curve
from runstream_server.metrics.model import Chunk, Kind, Points, Segment, Summary
from runstream_server.metrics.overview_format import chunk_overview
from runstream_server.metrics.tables import Artifacts, Table, TableColumn

_CHUNK_POINTS = 16_384

NOTHING = Summary(0, None, None, None, 0)


def encode_chunk(points: Points) -> Chunk:
    """Encodes 1 or more points."""
    return encode_chunks([points])[0]


def encode_chunks(many: Sequence[Points]) -> Sequence[Chunk]:
    """Encodes 1 or more points each; curves together, which takes much less than one after the other."""
    encoded: list[Chunk | None] = [None if is_curve(points) else _encode_other(points) for points in many]
    curves = iter(encode_curves([points for points, chunk in zip(many, encoded, strict=True) if chunk is None]))
    return [chunk or next(curves) for chunk in encoded]


def _encode_other(points: Points) -> Chunk:
    size_bytes = sum(segment.size_bytes for segment in points.segments)
    return Chunk(size_bytes, encode_points(points), summarize(points), chunk_overview(points))


def summarize(points: Points) -> Summary:
    """The summary of some values; only double and int64 count as numbers."""
    summary = _summarize(points.segments[0])
    for segment in points.segments[1:]:
        summary = summary.then(_summarize(segment))
    if points.count:
        summary.first_time = int(points.times.min() if points.count > 1 else points.times[0])
    return summary


def _summarize(segment: Segment) -> Summary:
    kinds = 1 << segment.kind
    if segment.kind not in (Kind.DOUBLE, Kind.INT64):
        return Summary(segment.count, None, None, None, kinds)
    values = cast("NDArray[np.float64]", segment.array)
    last = float(values[-1])
    if segment.count == 1:
        return Summary(1, last, last, last, kinds) if last == last else Summary(1, last, None, None, kinds)
    least, greatest = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    if least != least:  # all are NaN
        return Summary(segment.count, last, None, None, kinds)
    return Summary(segment.count, last, least, greatest, kinds)


def joined(pieces: Iterable[Points]) -> Iterator[Points]:
    """Joins neighbours that all have steps, or all have none, into pieces that are not too large."""
    for _, group in groupby(pieces, key=lambda points: points.steps is not None):
        waiting: list[Points] = []
        count = 0
        for points in group:
            if waiting and count + points.count > _CHUNK_POINTS:
                yield join_points(waiting)
                waiting, count = [], 0
            waiting.append(points)
            count += points.count
        yield join_points(waiting)


def join_points(pieces: Sequence[Points]) -> Points:
    """Joins pieces that all have steps, or all have none."""
    if len(pieces) == 1:
        return pieces[0]
    steps = [piece.steps for piece in pieces if piece.steps is not None]
    segments = [segment for piece in pieces for segment in piece.segments]
    return Points(
        np.concatenate(steps) if steps else None,
        np.concatenate([piece.times for piece in pieces]),
        [join_segments(list(alike)) for _, alike in groupby(segments, key=lambda segment: segment.form)],
    )


def join_segments(segments: Sequence[Segment]) -> Segment:
    """Joins segments of one form."""
    if len(segments) == 1:
        return segments[0]
    kind, count = segments[0].kind, sum(segment.count for segment in segments)
    match kind:
        case Kind.NULL:
            return Segment(kind, count, None)
        case Kind.STRING:
            return Segment(kind, count, [text for segment in segments for text in segment.strings])
        case Kind.TABLE:
            return Segment(kind, count, _join_tables([segment.table for segment in segments], count))
        case Kind.ARTIFACTS:
            paths = [path for segment in segments for path in segment.artifacts.paths]
            return Segment(kind, count, Artifacts(segments[0].artifacts.artifact_kind, paths))
        case _:
            return Segment(kind, count, np.concatenate([segment.array for segment in segments]))


def _join_tables(tables: Sequence[Table], count: int) -> Table:
    columns = zip(*(table.columns for table in tables), strict=True)
    return Table(count, [TableColumn(each[0].name, join_segments([one.cells for one in each])) for each in columns])
