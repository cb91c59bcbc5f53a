"""What the metrics service does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from runstream_server.appendstreams import AppendKey, Opening, Refusal, WriterDiverged
from runstream_server.metrics.batches import check_batch
from runstream_server.metrics.model import NO_POINTS, MetricBatch, Points, Series, Slice, Span
from runstream_server.metrics.slices import decoded_slices
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.spans import grouped_spans, spans_in_range
from runstream_server.metrics.store import MetricStore
from runstream_server.names import RunName

_CHECKED_ON_THE_LOOP_BYTES = 16 * 1024
_SERIES_AT_ONCE = 1_000


class Metrics:
    """The rules of metrics."""

    def __init__(self, store: MetricStore, source: ChunkSource) -> None:
        self._store = store
        self._source = source

    async def open_writer(self, key: AppendKey, believed: int, digest: bytes) -> Opening:
        """Opens a stream of a writer and fences its older ones.

        Raises:
            WriterDiverged: The last durable batch is another one than the client believes.
        """
        opening = await self._store.open_writer(key, believed, digest)
        if opening is None or opening.durable < believed:
            raise WriterDiverged(believed, await self._store.position(key))
        return opening

    async def prepare(
        self, sequence: int, digest: bytes, size_bytes: int, decode: Callable[[], Sequence[tuple[str, str, Points]]]
    ) -> tuple[MetricBatch, Sequence[Refusal]]:
        """Decodes and checks a batch, a large one in a thread."""
        if size_bytes <= _CHECKED_ON_THE_LOOP_BYTES:
            return check_batch(sequence, digest, decode())
        return await asyncio.to_thread(lambda: check_batch(sequence, digest, decode()))

    async def list_series(self, run: RunName, after: str, count: int) -> Sequence[Series]:
        """Returns up to `count` series of a run with names after `after`, in order of name."""
        return await self._store.list_series(run.workspace, [run.run], (), (run.run, after), count)

    async def read_series(
        self, runs: Sequence[RunName], metrics: Sequence[str], start_index: int, end_index: int
    ) -> AsyncIterator[Slice]:
        """Yields the values of series from `start_index` to before `end_index`, in order of run, metric and index.

        Each series is read as long as it was when its turn began; one that exists without values is yielded as one
        slice without points. All runs are of one workspace. No metrics: all of them. `end_index` 0: to the end.
        """
        workspace, ids = runs[0].workspace, sorted({run.run for run in runs})
        after = ("", "")
        while page := await self._store.list_series(workspace, ids, metrics, after, _SERIES_AT_ONCE):
            for spans in grouped_spans(spans_in_range(page, start_index, end_index)):
                async for each in self._read(spans):
                    yield each
            after = (page[-1].run.run, page[-1].metric)

    async def _read(self, spans: Sequence[Span]) -> AsyncIterator[Slice]:
        if not spans[0].series.count:
            yield Slice(spans[0].series, 0, NO_POINTS)
            return
        async for chunks in self._source.read(spans):
            for each in await decoded_slices(chunks):
                yield each
