"""Plans in which order, and how much at once, series are read."""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Series, Span, StoredChunk

_SHORT_POINTS = 5_000


def grouped_spans(page: Sequence[Series], start_index: int, end_index: int) -> Iterator[Sequence[Span]]:
    """Yields spans of series that are to be read together: many short ones, a long or an empty one alone.

    A series that has values, but none in range, is left out. `end_index` 0: to the end of each series.
    """
    group: list[Span] = []
    points = 0
    for series in page:
        span = Span(series, start_index, min(end_index or series.count, series.count))
        if series.count and span.count <= 0:
            continue
        if group and (not series.count or points + span.count > _SHORT_POINTS):
            yield group
            group, points = [], 0
        group.append(span)
        points += span.count
        if not series.count:
            yield group
            group, points = [], 0
    if group:
        yield group


def remaining_spans(spans: Sequence[Span], chunks: Sequence[StoredChunk]) -> Sequence[Span]:
    """What is left of spans after these chunks, which are the first of them.

    Raises:
        StoredBytesDamaged: Chunks are missing.
    """
    waiting = deque(spans)
    for chunk in chunks:
        span = waiting[0]
        if chunk.series is not span.series or not chunk.start_index <= span.start_index < chunk.end_index:
            raise _missing(span)
        waiting[0] = replace(span, start_index=chunk.end_index)
        if waiting[0].count <= 0:
            waiting.popleft()
    if not chunks:
        raise _missing(spans[0])
    return waiting


def _missing(span: Span) -> StoredBytesDamaged:
    return StoredBytesDamaged(
        f"values of {span.series.metric!r} of {span.series.run} at {span.start_index} are missing"
    )
