"""Puts together what the appends of one transaction do to each series."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from runstream_server.metrics.encoding import NOTHING, encode_chunk, joined
from runstream_server.metrics.limits import MAX_COLUMNS
from runstream_server.metrics.model import Chunk, MetricAppend, Points, SeriesKind, SeriesPiece, Summary

Place: TypeAlias = tuple[str, str, str]
"""Workspace, run and metric."""

Share: TypeAlias = tuple[MetricAppend, SeriesPiece]
"""A piece, and the append it is from."""


@dataclass(slots=True)
class SeriesGrowth:
    """What one transaction appends to one series."""

    workspace: str
    run: str
    metric: str

    shares: list[Share] = field(default_factory=list)
    """What it is made from, in order: of one kind, and with columns that one table can have."""

    others: list[Share] = field(default_factory=list)
    """What does not go together with the shares before it."""

    kind: SeriesKind = SeriesKind.NOTHING
    columns: list[str] = field(default_factory=list)
    description: str = ""
    summary: Summary = field(default_factory=lambda: NOTHING)
    chunks: list[Chunk] = field(default_factory=list)

    @property
    def place(self) -> Place:
        """Which series it is."""
        return self.workspace, self.run, self.metric


def group_by_series(appends: Iterable[MetricAppend]) -> Sequence[SeriesGrowth]:
    """Puts together and encodes what is appended to each series, in the order of the appends; sorted by series."""
    return list(grown_series(appends))


def grown_series(appends: Iterable[MetricAppend]) -> Iterator[SeriesGrowth]:
    """The same, one series after the other."""
    places: dict[Place, list[Share]] = {}
    for append in appends:
        if append.payload is None:
            continue
        workspace, run = append.key.workspace, append.key.run
        for piece in append.payload.pieces:
            places.setdefault((workspace, run, piece.metric), []).append((append, piece))
    for place in sorted(places):
        yield make_growth(place, places[place])


def make_growth(place: Place, shares: Iterable[Share]) -> SeriesGrowth:
    """Makes a growth of those shares that go together with the first one."""
    growth = SeriesGrowth(*place)
    for share in shares:
        _add(growth, share)
    for chunk in _chunks([piece.content for _, piece in growth.shares]):
        growth.summary = growth.summary.then(chunk.summary)
        growth.chunks.append(chunk)
    return growth


def _add(growth: SeriesGrowth, share: Share) -> None:
    piece = share[1]
    added = [name for name in piece.columns if name not in growth.columns] if piece.columns else []
    if not go_together(growth.kind, piece.kind) or len(growth.columns) + len(added) > MAX_COLUMNS:
        growth.others.append(share)
        return
    growth.kind = growth.kind or piece.kind
    growth.columns.extend(added)
    growth.description = growth.description or piece.description
    growth.shares.append(share)


def go_together(one: SeriesKind, other: SeriesKind) -> bool:
    """Whether a series can hold both."""
    return one is other or SeriesKind.NOTHING in (one, other)


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
