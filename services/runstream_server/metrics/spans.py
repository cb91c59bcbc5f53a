"""Plans in which order, and how much at once, series are read."""

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
    if not chunks:
        raise StoredBytesDamaged(f"chunks of {spans[0].series.metric!r} of {spans[0].series.run} are missing")
    last = chunks[-1]
    place = next(place for place, span in enumerate(spans) if span.series is last.series)
    begun = replace(spans[place], start_index=last.end_index)
    return [*([begun] if begun.count > 0 else []), *spans[place + 1 :]]
