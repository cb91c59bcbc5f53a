"""Where readers get the stored chunks of series from."""

from collections.abc import AsyncGenerator, Iterable

from runstream_server.metrics.model import Span, StoredChunk
from runstream_server.metrics.spans import grouped_spans, remaining_spans
from runstream_server.metrics.store import MetricStore


class ChunkSource:
    """The one place that knows where the values of a series are."""

    def __init__(self, store: MetricStore) -> None:
        self._store = store

    async def read(self, spans: Iterable[Span]) -> AsyncGenerator[list[StoredChunk], None]:
        """Yields the chunks that hold these spans of 1 or more values, in order, some MiB at a time.

        Spans of one series may leave out values between them; a chunk comes once for each span that it has values of.

        Raises:
            StoredBytesDamaged: Chunks are missing.
        """
        for group in grouped_spans(spans):
            left = group
            while left:
                chunks = await (self._store.read_long(left[0]) if len(left) == 1 else self._store.read_short(left))
                left = remaining_spans(left, chunks)
                yield list(chunks)
