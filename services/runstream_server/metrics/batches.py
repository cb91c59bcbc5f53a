"""Checks batches: what cannot be stored is refused, and what is large is encoded at once."""

from collections.abc import Sequence

from runstream_server.appendstreams import Refusal
from runstream_server.metrics.encoding import encode_chunk
from runstream_server.metrics.model import MetricBatch, Points, SeriesPiece
from runstream_server.metrics.refusals import find_problem, refusal

_LARGE_POINTS = 1_024


def check_batch(
    sequence: int, digest: bytes, columns: Sequence[tuple[str, str, Points]]
) -> tuple[MetricBatch, Sequence[Refusal]]:
    """Takes metric, description and points of each column of a batch; says what is refused of it."""
    pieces, refusals = [], []
    for place, (metric, description, points) in enumerate(columns):
        problem = find_problem(place, metric, description, points)
        if problem is None:
            content = points if points.count < _LARGE_POINTS else encode_chunk(points)
            pieces.append(SeriesPiece(metric, description, points.series_kind, points.column_names, content))
        else:
            refusals.append(refusal(sequence, metric, problem, points.claimed_count))
    return MetricBatch(digest, pieces), refusals
