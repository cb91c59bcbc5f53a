"""Where readers get the stored chunks of series from: Postgres, or the bucket when their run is sealed."""

from collections.abc import AsyncGenerator, Iterable, Sequence

from runstream_server.metrics.model import Span, StoredChunk
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.spans import grouped_spans, leading_chunks, remaining_spans
from runstream_server.metrics.store import MetricStore


class ChunkSource:
    """The one place that knows where the values of a series are.

    What is sealed leaves Postgres only after it can be read from the bucket: who looks there first misses nothing.
    """

    def __init__(self, store: MetricStore, sealed: SealedReader) -> None:
        self._store = store
        self._sealed = sealed

    async def read(self, spans: Iterable[Span]) -> AsyncGenerator[list[StoredChunk], None]:
        """Yields the chunks that hold these spans of 1 or more values, in order, some MiB at a time.

        Spans of one series may leave out values between them; a chunk comes once for each span that it has values of.

        Raises:
            StoredBytesDamaged: Chunks are missing, or the object of a sealed run is not what was stored.
            ObjectMissing: The object of a sealed run is not there.
            BucketUnavailable: The bucket does not answer.
        """
        for group in grouped_spans(spans):
            left = group
            while left:
                chunks = await self._first_chunks(left)
                left = remaining_spans(left, chunks)
                yield list(chunks)

    async def _first_chunks(self, spans: Sequence[Span]) -> Sequence[StoredChunk]:
        """Of the first chunks of the spans those that follow each other without gap."""
        chunks = await (self._store.read_long(spans[0]) if len(spans) == 1 else self._store.read_short(spans))
        return leading_chunks(spans, chunks) or await self._sealed.first_chunks(spans)
