"""Reads whole series, or ranges of them."""

from collections.abc import AsyncGenerator, Sequence

from runstream_server.metrics.model import Slice, Span, no_points
from runstream_server.metrics.slices import decoded_slices
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.spans import grouped_spans, spans_in_range
from runstream_server.metrics.store import MetricStore
from runstream_server.names import RunName

_SERIES_AT_ONCE = 1_000


class SeriesReader:
    """Reads the values of series in order."""

    def __init__(self, store: MetricStore, source: ChunkSource) -> None:
        self._store = store
        self._source = source

    async def read(
        self, runs: Sequence[RunName], metrics: Sequence[str], start_index: int, end_index: int
    ) -> AsyncGenerator[Slice, None]:
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

    async def _read(self, spans: Sequence[Span]) -> AsyncGenerator[Slice, None]:
        if not spans[0].series.count:
            yield Slice(spans[0].series, 0, no_points(spans[0].series))
            return
        async for chunks in self._source.read(spans):
            for each in await decoded_slices(chunks):
                yield each
