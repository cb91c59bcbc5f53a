"""Where readers get stored values, and what is known of them, from: Postgres, or the bucket when a run is sealed."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Sequence

from runstream_server.metrics.model import Span, StoredChunk
from runstream_server.metrics.overview_format import decode_overviews
from runstream_server.metrics.overview_store import OverviewStore, StoredOverview
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.spans import SHORT_POINTS, grouped_spans, leading_chunks, remaining_spans
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.windows import Interval, KnownSpan


class ChunkSource:
    """The one place that knows where the values of a series are.

    What is sealed leaves Postgres only after it can be read from the bucket: who looks there first misses nothing.
    """

    def __init__(self, store: MetricStore, overviews: OverviewStore, sealed: SealedReader) -> None:
        self._store = store
        self._overviews = overviews
        self._sealed = sealed

    async def read(
        self, spans: Iterable[Span], together_points: int = SHORT_POINTS
    ) -> AsyncGenerator[list[StoredChunk], None]:
        """Yields the chunks that hold these spans of 1 or more values, in order, some MiB at a time.

        Spans of one series may leave out values between them; a chunk comes once for each span that it has values of.
        Spans of up to so many points together are asked for at once.

        Raises:
            StoredBytesDamaged: Chunks are missing, or the object of a sealed run is not what was stored.
            ObjectMissing: The object of a sealed run is not there.
            BucketUnavailable: The bucket does not answer.
        """
        for group in grouped_spans(spans, together_points):
            left = group
            while left:
                chunks = await self._first_chunks(left)
                left = remaining_spans(left, chunks)
                yield list(chunks)

    async def known(self, spans: Sequence[Span]) -> Sequence[KnownSpan]:
        """What is known of 1 or more spans of one workspace without decoding their values, in the same order.

        Raises:
            StoredBytesDamaged: An overview is not what was stored.
        """
        stored = await self._overviews.overviews(spans)
        return await asyncio.to_thread(lambda: [_known(*each) for each in zip(spans, stored, strict=True)])

    async def _first_chunks(self, spans: Sequence[Span]) -> Sequence[StoredChunk]:
        """Of the first chunks of the spans those that follow each other without gap."""
        chunks = await (self._store.read_long(spans[0]) if len(spans) == 1 else self._store.read_short(spans))
        return leading_chunks(spans, chunks) or await self._sealed.first_chunks(spans)


def _known(span: Span, stored: Sequence[StoredOverview]) -> KnownSpan:
    overview = decode_overviews([(each.data, each.start_index) for each in stored]) if stored else None
    return KnownSpan(span, overview, _gaps(span, stored))


def _gaps(span: Span, stored: Sequence[StoredOverview]) -> Sequence[Interval]:
    """Which values of a span no overview tells of."""
    gaps = []
    index = span.start_index
    for each in stored:
        if each.start_index > index:
            gaps.append((index, each.start_index))
        index = each.end_index
    if index < span.end_index:
        gaps.append((index, span.end_index))
    return gaps
