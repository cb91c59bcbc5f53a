"""Reads whole series, or ranges of them."""

from collections.abc import AsyncGenerator, Sequence
from itertools import chain

from runstream_server.metrics.model import Slice, Span, no_points
from runstream_server.metrics.queries import ReadRequest
from runstream_server.metrics.slices import decoded_slices
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.spans import grouped_spans, spans_in_range
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.windows import Window

_WORTH_LOOKING_POINTS = 5_000


class SeriesReader:
    """Reads the values of series in order."""

    def __init__(self, store: MetricStore, source: ChunkSource) -> None:
        self._store = store
        self._source = source

    async def read(self, request: ReadRequest, window: Window) -> AsyncGenerator[Slice, None]:
        """Yields the values of series in a range of indexes and in a window, in order of run, metric and index.

        Each series is read as long as it was when its turn began; one that exists without values is yielded as one
        slice without points, one that has values, but none in range, not at all.
        """
        workspace, runs = request.runs[0].workspace, sorted({run.run for run in request.runs})
        async for page in self._store.all_series(workspace, runs, request.metrics):
            for spans in grouped_spans(spans_in_range(page, request.first_index, request.end_index)):
                async for each in self._read(spans, window):
                    yield each

    async def _read(self, spans: Sequence[Span], window: Window) -> AsyncGenerator[Slice, None]:
        if not spans[0].series.count:
            yield Slice(spans[0].series, 0, no_points(spans[0].series))
            return
        async for chunks in self._source.read(await self._narrowed(spans, window)):
            for each in await decoded_slices(chunks, window):
                yield each

    async def _narrowed(self, spans: Sequence[Span], window: Window) -> Sequence[Span]:
        """Leaves out parts of a long span that have nothing in the window."""
        if window.is_everything or sum(span.count for span in spans) < _WORTH_LOOKING_POINTS:
            return spans
        known = await self._source.known(spans)
        return list(
            chain.from_iterable(each.parts(window.meets(each.overview) if each.overview else None) for each in known)
        )
