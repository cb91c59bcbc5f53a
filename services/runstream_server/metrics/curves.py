"""Encodes curves: many doubles with a step each. Several at once, since numpy takes as long to begin as to go on."""

from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np

from runstream_server.metrics import chunks
from runstream_server.metrics.model import Chunk, Doubles, Kind, Points, Summary
from runstream_server.metrics.overview_format import chunk_overview, curve_overviews

MANY_POINTS = 1_024
_POINTS_AT_ONCE = 65_536


def is_curve(points: Points) -> bool:
    """Whether points can be encoded here."""
    return (
        points.count >= MANY_POINTS
        and points.steps is not None
        and len(points.segments) == 1
        and points.segments[0].kind is Kind.DOUBLE
    )


def encode_curves(curves: Sequence[Points]) -> Sequence[Chunk]:
    """Encodes curves, each by itself."""
    encoded: list[Chunk] = []
    for count, alike in groupby(curves, key=lambda points: points.count):
        for some in _at_once(list(alike), count):
            encoded.extend(_encode(some))
    return encoded


def _at_once(curves: Sequence[Points], count: int) -> Iterator[Sequence[Points]]:
    """Cuts into what is in the caches of a processor at once."""
    size = max(1, _POINTS_AT_ONCE // count)
    for begin in range(0, len(curves), size):
        yield curves[begin : begin + size]


def _encode(curves: Sequence[Points]) -> Sequence[Chunk]:
    """Encodes curves of one length."""
    steps = np.stack([points.steps for points in curves if points.steps is not None])
    times = np.stack([points.times for points in curves])
    values: Doubles = np.stack([points.segments[0].array for points in curves]).view(np.float64)
    encoded = chunks.encode_curves(steps, times, values)
    overviews: Sequence[bytes | None] | None = curve_overviews(steps, times, values)
    if overviews is None:
        overviews = [chunk_overview(points) for points in curves]
    size_bytes = curves[0].segments[0].size_bytes
    summaries = _summarize(values, times.min(axis=1).tolist())
    return [
        Chunk(size_bytes, data, summary, overview)
        for data, summary, overview in zip(encoded, summaries, overviews, strict=True)
    ]


def _summarize(values: Doubles, first_times: Sequence[int]) -> Iterator[Summary]:
    """The summary of each row."""
    columns = (values[:, -1], np.fmin.reduce(values, axis=1), np.fmax.reduce(values, axis=1))
    for first_time, last, least, greatest in zip(first_times, *(each.tolist() for each in columns), strict=True):
        known = least == least  # otherwise all are NaN
        yield Summary(
            values.shape[1], last, least if known else None, greatest if known else None, 1 << Kind.DOUBLE, first_time
        )
