"""Checks batches: what cannot be stored is refused, and what is large is encoded at once."""

from collections.abc import Sequence

from runstream_server.appendstreams import Prepared, Refusal
from runstream_server.metrics.curves import is_curve
from runstream_server.metrics.encoding import encode_chunks
from runstream_server.metrics.limits import MAX_BATCH_SERIES
from runstream_server.metrics.model import (
    Chunk,
    KnownBatch,
    MetricBatch,
    MetricPayload,
    Points,
    SeriesKind,
    SeriesPiece,
)
from runstream_server.metrics.refusals import Problem, find_problem, is_sound_curve, refusal

_LARGE_POINTS = 1_024
_PIECE_BYTES = 1_024
_BATCH_BYTES = 1_024
_CURVE_BYTES = 400
"""Of one recognised series: its chunk, and what is said of it in columns."""


def check_batch(sequence: int, digest: bytes, columns: Sequence[tuple[str, str, Points]]) -> Prepared[MetricPayload]:
    """Takes metric, description and points of each column of a batch; says what is refused of it."""
    pieces: list[SeriesPiece] = []
    refusals: list[Refusal] = []
    for metric, description, points in columns[:MAX_BATCH_SERIES]:
        if is_curve(points) and not description and is_sound_curve(metric, points):
            pieces.append(SeriesPiece(metric, "", SeriesKind.VALUES, (), points))
        elif (problem := find_problem(metric, description, points)) is None:
            pieces.append(SeriesPiece(metric, description, points.series_kind, points.column_names, points))
        else:
            refusals.append(refusal(sequence, metric, problem, points.claimed_count))
    if beyond := columns[MAX_BATCH_SERIES:]:
        count = sum(points.claimed_count for _, _, points in beyond)
        refusals.append(refusal(sequence, beyond[0][0], _too_many_series(len(columns)), count))
    _encode_large(pieces)
    size_bytes = len(columns) * _PIECE_BYTES + sum(_size_of(piece.content) for piece in pieces)
    return Prepared(MetricBatch(digest, pieces), size_bytes, refusals)


def size_of_curves(batch: KnownBatch) -> int:
    """How much memory a batch takes, about, until it is stored."""
    return _BATCH_BYTES + 2 * len(batch.series) + _CURVE_BYTES * len(batch.layout.metrics)


def has_long_columns(columns: Sequence[tuple[str, str, Points]]) -> bool:
    """Whether something of a batch is encoded when it is checked, which takes most of the time."""
    return any(len(points.times) >= _LARGE_POINTS for _, _, points in columns)


def _encode_large(pieces: Sequence[SeriesPiece]) -> None:
    """Encodes what has many values."""
    large = [
        (piece, piece.content)
        for piece in pieces
        if isinstance(piece.content, Points) and len(piece.content.times) >= _LARGE_POINTS
    ]
    if large:
        for (piece, _), chunk in zip(large, encode_chunks([points for _, points in large]), strict=True):
            piece.content = chunk


def _too_many_series(count: int) -> Problem:
    return (
        "TOO_MANY_SERIES",
        f"a batch has up to {MAX_BATCH_SERIES} series; got {count}, of which those from this one on are refused; send"
        " them in the next batch",
    )


def _size_of(content: Points | Chunk) -> int:
    if isinstance(content, Chunk):
        return len(content.data)
    segments = content.segments
    return segments[0].size_bytes if len(segments) == 1 else sum(segment.size_bytes for segment in segments)
