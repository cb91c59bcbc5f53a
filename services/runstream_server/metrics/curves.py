"""Encodes curves: doubles with a step each. Many curves at once, since numpy takes as long to begin as to go on.

Where there is a compiler they are encoded by C, several times as fast; the bytes are the same.
"""

from collections.abc import Iterator, Sequence
from typing import cast

import numpy as np

from runstream_server.compression import compress_many
from runstream_server.metrics import chunks
from runstream_server.metrics.model import Chunk, Doubles, Int64s, Kind, Points, Summary
from runstream_server.metrics.overview_format import WORTH_POINTS, chunk_overview, curve_overviews
from runstream_server.native import native

_POINTS_AT_ONCE = 65_536
"""What is in the caches of a processor."""


def is_curve(points: Points) -> bool:
    """Whether points can be encoded here."""
    return points.steps is not None and len(points.segments) == 1 and points.segments[0].kind is Kind.DOUBLE


def encode_curves(curves: Sequence[Points]) -> Sequence[Chunk]:
    """Encodes curves of 1 or more points, each by itself."""
    return encode_in_c(curves) if native else encode_in_numpy(curves)


def encode_in_c(curves: Sequence[Points]) -> Sequence[Chunk]:
    """Does so where it is compiled; other threads go on meanwhile."""
    columns = [(cast("Int64s", points.steps), points.times, points.segments[0].array) for points in curves]
    encoded = zip(curves, native.encode_curves(columns, compress_many), strict=True)
    return [
        Chunk(points.segments[0].size_bytes, data, _summary(points.count, last, least, greatest, first_time), overview)
        for points, (data, overview, last, least, greatest, first_time) in encoded
    ]


def encode_in_numpy(curves: Sequence[Points]) -> Sequence[Chunk]:
    """Does so everywhere."""
    by_count: dict[int, list[int]] = {}
    for place, points in enumerate(curves):
        by_count.setdefault(points.count, []).append(place)
    encoded: dict[int, Chunk] = {}
    for count, places in by_count.items():
        size = max(1, _POINTS_AT_ONCE // count)
        for begin in range(0, len(places), size):
            some = places[begin : begin + size]
            encoded.update(zip(some, _encode([curves[place] for place in some], count), strict=True))
    return [encoded[place] for place in range(len(curves))]


def _encode(curves: Sequence[Points], count: int) -> Sequence[Chunk]:
    """Encodes curves of one length."""
    shape = len(curves), count
    steps = np.concatenate([points.steps for points in curves if points.steps is not None]).reshape(shape)
    times = np.concatenate([points.times for points in curves]).reshape(shape)
    values = cast("Doubles", np.concatenate([points.segments[0].array for points in curves]).reshape(shape))
    encoded = chunks.encode_curves(steps, times, values)
    overviews = curve_overviews(steps, times, values) or _overviews(curves, count)
    size_bytes = curves[0].segments[0].size_bytes
    summaries = _summarize(values, times.min(axis=1).tolist())
    return [
        Chunk(size_bytes, data, summary, overview)
        for data, summary, overview in zip(encoded, summaries, overviews, strict=True)
    ]


def _overviews(curves: Sequence[Points], count: int) -> Sequence[bytes | None]:
    return [None] * len(curves) if count < WORTH_POINTS else [chunk_overview(points) for points in curves]


def _summarize(values: Doubles, first_times: Sequence[int]) -> Iterator[Summary]:
    """The summary of each row."""
    columns = (values[:, -1], np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1))
    for first_time, last, least, greatest in zip(first_times, *(each.tolist() for each in columns), strict=True):
        yield _summary(values.shape[1], last, least, greatest, first_time)


def _summary(count: int, last: float, least: float, greatest: float, first_time: int) -> Summary:
    if least != least:  # all are NaN
        return Summary(count, last, None, None, 1 << Kind.DOUBLE, first_time)
    return Summary(count, last, least, greatest, 1 << Kind.DOUBLE, first_time)
