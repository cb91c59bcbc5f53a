"""What the metrics service does."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from runstream_server.appendstreams import AppendKey, Opening, Prepared, WriterDiverged
from runstream_server.metrics.append_store import AppendStore
from runstream_server.metrics.batches import check_batch
from runstream_server.metrics.errors import SequenceGap
from runstream_server.metrics.model import MetricBatch, Points, Series, Slice, Span, no_points
from runstream_server.metrics.slices import slices
from runstream_server.metrics.spans import grouped_spans, remaining_spans
from runstream_server.metrics.store import MetricStore
from runstream_server.names import RunName

_CHECKED_ON_THE_LOOP_BYTES = 16 * 1024
_SERIES_AT_ONCE = 1_000
_LAST_INDEX = 2**63 - 1


class Metrics:
    """The rules of metrics."""

    def __init__(self, store: MetricStore, appends: AppendStore) -> None:
        self._store = store
        self._appends = appends

    async def open_writer(self, key: AppendKey, believed: int, digest: bytes) -> Opening:
        """Opens a stream of a writer and fences its older ones.

        Raises:
            WriterDiverged: The last durable batch is another one than the client believes.
        """
        opening = await self._appends.open_writer(key, believed, digest)
        if opening is None or opening.durable < believed:
            raise WriterDiverged(believed, await self._appends.position(key) or 0)
        return opening

    async def expect(self, key: AppendKey, sequence: int) -> None:
        """Makes the writer of a batch that comes without a stream, if it is new.

        Raises:
            SequenceGap: Batches before this one are missing, or it can be none.
        """
        durable = await self._appends.position(key)
        if not 1 <= sequence <= (durable or 0) + 1:
            raise SequenceGap(durable or 0)
        if durable is None:
            await self._appends.make_writer(key)

    async def prepare(
        self, sequence: int, digest: bytes, size_bytes: int, decode: Callable[[], Sequence[tuple[str, str, Points]]]
    ) -> Prepared[MetricBatch]:
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
            for spans in grouped_spans(page, start_index, end_index):
                async for each in self._read(spans, start_index, end_index or _LAST_INDEX):
                    yield each
            after = (page[-1].run.run, page[-1].metric)

    async def _read(self, spans: Sequence[Span], start_index: int, end_index: int) -> AsyncIterator[Slice]:
        if not spans[0].series.count:
            yield Slice(spans[0].series, 0, no_points(spans[0].series))
            return
        while spans:
            chunks = await (self._store.read_long(spans[0]) if len(spans) == 1 else self._store.read_short(spans))
            spans = remaining_spans(spans, chunks)
            for each in await asyncio.to_thread(slices, chunks, start_index, end_index):
                yield each
