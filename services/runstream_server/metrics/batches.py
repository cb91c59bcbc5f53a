"""Makes batches ready to be stored: refuses what cannot be, puts together what belongs together, encodes it."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import cast

import numpy as np

from runstream_server.appendstreams import Refusal
from runstream_server.metrics.chunks import encode_points
from runstream_server.metrics.model import (
    Chunk,
    Doubles,
    EncodedBatch,
    EncodedSeries,
    Int64s,
    Kind,
    Points,
    Segment,
    SeriesPiece,
    Summary,
)
from runstream_server.metrics.refusals import find_problem, refusal

_NOTHING = Summary(0, None, None, None, 0)


def encode_batch(sequence: int, digest: bytes, pieces: Sequence[SeriesPiece]) -> tuple[EncodedBatch, Sequence[Refusal]]:
    """Encodes what can be stored of a batch, each metric once, and says what cannot."""
    good: dict[str, list[SeriesPiece]] = {}
    refusals = []
    for place, piece in enumerate(pieces):
        problem = find_problem(place, piece.metric, piece.description, piece.points)
        if problem is None:
            good.setdefault(piece.metric, []).append(piece)
        else:
            refusals.append(refusal(sequence, piece.metric, problem, piece.points.claimed_count))
    return EncodedBatch(digest, [_encode_series(metric, of_metric) for metric, of_metric in good.items()]), refusals


def _encode_series(metric: str, pieces: Sequence[SeriesPiece]) -> EncodedSeries:
    chunks = []
    summary = _NOTHING
    for points in _joined([piece.points for piece in pieces]):
        for segment in points.segments:
            summary = summary.then(summarize(segment))
        if points.count:
            size_bytes = sum(segment.size_bytes for segment in points.segments)
            chunks.append(Chunk(points.count, size_bytes, encode_points(points)))
    return EncodedSeries(metric, next((each.description for each in pieces if each.description), ""), chunks, summary)


def _joined(pieces: Sequence[Points]) -> Iterator[Points]:
    """Joins neighbours that all have steps, or all have none."""
    for _, group in groupby(pieces, key=lambda points: points.steps is not None):
        neighbours = list(group)
        yield neighbours[0] if len(neighbours) == 1 else _join(neighbours)


def _join(pieces: Sequence[Points]) -> Points:
    steps = [piece.steps for piece in pieces if piece.steps is not None]
    return Points(
        np.concatenate(steps) if steps else None,
        np.concatenate([piece.times for piece in pieces]),
        [segment for piece in pieces for segment in piece.segments if segment.count],
    )


def summarize(segment: Segment) -> Summary:
    """The summary of some values; only double and int64 count as numbers."""
    kinds = 1 << segment.kind
    if segment.kind not in (Kind.DOUBLE, Kind.INT64) or not segment.count:
        return Summary(segment.count, None, None, None, kinds)
    values = cast("Doubles | Int64s", segment.values)
    least, greatest = float(np.fmin.reduce(values)), float(np.fmax.reduce(values))
    if np.isnan(least):
        return Summary(segment.count, float(values[-1]), None, None, kinds)
    return Summary(segment.count, float(values[-1]), least, greatest, kinds)
