"""Reads of each series the number at its greatest step, as of all that is durable."""

import asyncio
from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TypeAlias

from runstream_server.metrics.helpings import helpings
from runstream_server.metrics.latest import Candidates, Latest, LatestOfSeries, later, latest_of_chunks
from runstream_server.metrics.latest_store import LatestStore
from runstream_server.metrics.model import Span, StoredChunk
from runstream_server.metrics.queries import ReadRequest
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.windows import KnownSpan

_LONG_POINTS = 4_096
"""So many values that it is worth asking what is known of them without decoding them."""

_TOGETHER_POINTS = 50_000
"""Of series that are asked for at once."""

_TOGETHER_SERIES = 64
"""Each of which may have some dozens of chunks that are not merged yet; more of them would fill many pages."""

_KNOWN_POINTS = 4_000_000
"""Of series whose overviews are got together."""

_WORTH_REMEMBERING_POINTS = 64
_MORE_BUCKETS = 8
_DECODED_ON_THE_LOOP_POINTS = 500

_Found: TypeAlias = dict[int, Latest | None]
"""The latest number so far, by number of the series."""


class LatestReader:
    """Finds the latest numbers: those that are remembered, or later ones that were stored since.

    What it finds it remembers, so that values are looked at once, and series that are not written any more never again.
    """

    def __init__(self, store: LatestStore, source: ChunkSource) -> None:
        self._store = store
        self._source = source

    async def read(self, request: ReadRequest) -> AsyncGenerator[Sequence[LatestOfSeries], None]:
        """Yields series that have a number, with their latest one, up to 1,000 at a time in order of run and metric."""
        workspace, runs = request.runs[0].workspace, sorted({run.run for run in request.runs})
        async for page in self._store.known(workspace, runs, request.metrics):
            behind = [each for each in page if each.known_count < each.series.count]
            found = await self._found(behind) if behind else {}
            await self._store.remember(workspace, [_complete(each, found) for each in behind if _is_worth(each)])
            complete = [_complete(each, found) for each in page]
            if some := [each for each in complete if each.latest is not None]:
                yield some

    async def _found(self, behind: Sequence[LatestOfSeries]) -> _Found:
        """Looks at the values of series of which nothing is known."""
        found: _Found = {each.series.number: each.latest for each in behind}
        spans = [Span(each.series, each.known_count, each.series.count) for each in behind]
        await self._decode(found, [span for span in spans if span.count < _LONG_POINTS])
        long = (span for span in spans if span.count >= _LONG_POINTS)
        for some in helpings(long, lambda span: span.count, _KNOWN_POINTS):
            for known in await self._source.known(some):
                await self._search(found, known)
        return found

    async def _search(self, found: _Found, known: KnownSpan) -> None:
        """Decodes of a long series what is unknown, and buckets until none is left that may have a later number."""
        number = known.span.series.number
        await self._decode(found, known.parts(None))
        if known.overview is None:
            return
        candidates, count = await asyncio.to_thread(Candidates, known.overview), 1
        while candidates.narrow(found[number]):
            await self._decode(found, replace(known, unknown=()).parts(candidates.take(count)))
            count *= _MORE_BUCKETS

    async def _decode(self, found: _Found, spans: Iterable[Span]) -> None:
        for some in helpings(spans, lambda span: span.count, _TOGETHER_POINTS, _TOGETHER_SERIES):
            async for chunks in self._source.read(some, _TOGETHER_POINTS):
                for number, latest in (await _latest(chunks)).items():
                    found[number] = later(found[number], latest)


async def _latest(chunks: Sequence[StoredChunk]) -> Mapping[int, Latest]:
    if sum(chunk.count for chunk in chunks) <= _DECODED_ON_THE_LOOP_POINTS:
        return latest_of_chunks(chunks)
    return await asyncio.to_thread(latest_of_chunks, chunks)


def _is_worth(known: LatestOfSeries) -> bool:
    """Whether to remember what is found out beyond what is known; always the first time: it may be in the bucket."""
    return not known.known_count or known.series.count - known.known_count >= _WORTH_REMEMBERING_POINTS


def _complete(known: LatestOfSeries, found: _Found) -> LatestOfSeries:
    return LatestOfSeries(known.series, known.series.count, found.get(known.series.number, known.latest))
