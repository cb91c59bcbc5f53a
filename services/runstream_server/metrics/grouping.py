"""Puts together what the appends of one transaction do to each series."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from runstream_server.metrics.encoding import NOTHING, encode_chunk, joined
from runstream_server.metrics.model import Chunk, MetricAppend, Points, Summary

_Place = tuple[str, str, str]


@dataclass(slots=True)
class SeriesGrowth:
    """What one transaction appends to one series."""

    workspace: str
    run: str
    metric: str
    description: str
    summary: Summary
    chunks: list[Chunk] = field(default_factory=list)


def group_by_series(appends: Iterable[MetricAppend]) -> Sequence[SeriesGrowth]:
    """Puts together and encodes what is appended to each series, in the order of the appends; sorted by series."""
    contents: dict[_Place, list[Points | Chunk]] = {}
    descriptions: dict[_Place, str] = {}
    for append in appends:
        if append.payload is None:
            continue
        workspace, run = append.key.workspace, append.key.run
        for piece in append.payload.pieces:
            place = (workspace, run, piece.metric)
            contents.setdefault(place, []).append(piece.content)
            if piece.description:
                descriptions.setdefault(place, piece.description)
    return [_growth(place, descriptions.get(place, ""), contents[place]) for place in sorted(contents)]


def _growth(place: _Place, description: str, contents: Sequence[Points | Chunk]) -> SeriesGrowth:
    growth = SeriesGrowth(*place, description, NOTHING)
    for chunk in _chunks(contents):
        growth.summary = growth.summary.then(chunk.summary)
        growth.chunks.append(chunk)
    return growth


def _chunks(contents: Sequence[Points | Chunk]) -> Iterator[Chunk]:
    for _, neighbours in groupby(contents, key=type):
        few = []
        for content in neighbours:
            if isinstance(content, Chunk):
                yield content
            elif content.count:
                few.append(content)
        for points in joined(few):
            yield encode_chunk(points)
