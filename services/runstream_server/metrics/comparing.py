"""Compares series of many runs: each thinned to what a chart shows."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from runstream_server.metrics.gathering import Gathering, make_scale
from runstream_server.metrics.helpings import helpings
from runstream_server.metrics.model import Series, Span, StoredChunk
from runstream_server.metrics.queries import Axis, CompareRequest, ThinnedSeries
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.windows import KnownSpan

_GROUP_SERIES = 1_000
_KNOWN_POINTS = 4_000_000
"""Of series whose overviews are got together."""

_READ_POINTS = 200_000
"""Of series whose values are in memory at once."""


class Comparison:
    """Thins series of many runs for one chart."""

    def __init__(self, store: MetricStore, source: ChunkSource) -> None:
        self._store = store
        self._source = source

    async def compare(self, request: CompareRequest) -> AsyncGenerator[ThinnedSeries, None]:
        """Yields the series that have a number in the range, in the order of the runs and then of the metrics."""
        series = await self._series(request)
        first_times = await self._first_times(request)  # after the series, so that each has a run that began
        for group in helpings(series, lambda each: each.count, _KNOWN_POINTS, _GROUP_SERIES):
            known = await self._source.known([Span(series, 0, series.count) for series in group])
            gatherings = await asyncio.to_thread(_gatherings, request, known, first_times)
            for together in helpings(gatherings, lambda each: each.span_points, _READ_POINTS):
                for thinned in await self._thinned(together):
                    if thinned.count:
                        yield thinned

    async def _first_times(self, request: CompareRequest) -> Mapping[str, int]:
        if request.axis is not Axis.RELATIVE_TIME:
            return {}
        return await self._store.first_times(request.workspace, [run.run for run in request.runs])

    async def _series(self, request: CompareRequest) -> Sequence[Series]:
        """The series that have a number, in order, without their descriptions, which would be all in memory."""
        found: dict[tuple[str, str], Series] = {}
        runs = [run.run for run in request.runs]
        async for page in self._store.all_series(request.workspace, runs, request.metrics):
            found.update(
                ((series.run.run, series.metric), replace(series, description=""))
                for series in page
                if series.min is not None
            )
        places = ((run, metric) for run in runs for metric in request.metrics)
        return [found[place] for place in places if place in found]

    async def _thinned(self, gatherings: Sequence[Gathering]) -> Sequence[ThinnedSeries]:
        by_number = {each.series.number: each for each in gatherings}
        async for chunks in self._source.read(chain.from_iterable(each.spans for each in gatherings)):
            await asyncio.to_thread(_add, by_number, chunks)
        return await asyncio.to_thread(lambda: [each.thinned() for each in gatherings])


def _gatherings(
    request: CompareRequest, known: Sequence[KnownSpan], first_times: Mapping[str, int]
) -> Sequence[Gathering]:
    return [
        Gathering(each, make_scale(request, first_times.get(each.span.series.run.run, 0)), request.max_points)
        for each in known
    ]


def _add(gatherings: Mapping[int, Gathering], chunks: Iterable[StoredChunk]) -> None:
    for chunk in chunks:
        gatherings[chunk.series.number].add(chunk)
