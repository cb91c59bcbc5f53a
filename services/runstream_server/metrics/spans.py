"""Plans in which order, and how much at once, series are read."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Series, Span, StoredChunk

SHORT_POINTS = 5_000


def spans_in_range(page: Sequence[Series], first_index: Callable[[str, int], int], end_index: int) -> Sequence[Span]:
    """What is to be read of series, to before `end_index`; 0: to the end of each series.

    `first_index` says where to begin in a metric with so many values. A series that has values, but none in range, is
    left out; one without values has a span without values.
    """
    spans = [
        Span(series, first_index(series.metric, series.count), min(end_index or series.count, series.count))
        for series in page
    ]
    return [span for span in spans if span.count > 0 or not span.series.count]


def grouped_spans(spans: Iterable[Span], most_points: int = SHORT_POINTS) -> Iterator[Sequence[Span]]:
    """Yields spans that are to be read together: many short ones; a long one, or one of an empty series, alone."""
    group: list[Span] = []
    points = 0
    for span in spans:
        if group and (not span.series.count or points + span.count > most_points):
            yield group
            group, points = [], 0
        group.append(span)
        points += span.count
        if not span.series.count:
            yield group
            group, points = [], 0
    if group:
        yield group


def leading_chunks(spans: Sequence[Span], chunks: Sequence[StoredChunk]) -> Sequence[StoredChunk]:
    """Those of the chunks, in order, before the first value of the spans that none of them has."""
    waiting = deque(spans)
    for place, chunk in enumerate(chunks):
        if not _continues(waiting[0], chunk):
            return chunks[:place]
        _consume(waiting, chunk)
    return chunks


def remaining_spans(spans: Sequence[Span], chunks: Sequence[StoredChunk]) -> Sequence[Span]:
    """What is left of spans after these chunks, which are the first of them.

    Raises:
        StoredBytesDamaged: Chunks are missing.
    """
    waiting = deque(spans)
    for chunk in chunks:
        if not _continues(waiting[0], chunk):
            raise _missing(waiting[0])
        _consume(waiting, chunk)
    if not chunks:
        raise _missing(spans[0])
    return waiting


def _continues(span: Span, chunk: StoredChunk) -> bool:
    return chunk.series is span.series and chunk.start_index <= span.start_index < chunk.end_index


def _consume(waiting: deque[Span], chunk: StoredChunk) -> None:
    waiting[0] = Span(waiting[0].series, chunk.end_index, waiting[0].end_index)
    if waiting[0].count <= 0:
        waiting.popleft()


def _missing(span: Span) -> StoredBytesDamaged:
    return StoredBytesDamaged(
        f"values of {span.series.metric!r} of {span.series.run} at {span.start_index} are missing"
    )
