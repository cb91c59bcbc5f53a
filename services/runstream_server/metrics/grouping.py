"""Puts together what the appends of one transaction do to each series."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TypeAlias

from runstream_server.metrics.encoding import NOTHING, encode_chunks, joined
from runstream_server.metrics.limits import MAX_COLUMNS
from runstream_server.metrics.model import Chunk, MetricAppend, Points, SeriesKind, SeriesPiece, Summary

Place: TypeAlias = tuple[str, str, str]
"""Workspace, run and metric."""

RunPlace: TypeAlias = tuple[str, str]
"""Workspace and run."""

Share: TypeAlias = tuple[MetricAppend, SeriesPiece]
"""A piece, and the append it is from."""


@dataclass(slots=True)
class SeriesGrowth:
    """What one transaction appends to one series."""

    place: Place
    """Which series it is."""

    shares: list[Share]
    """What it is made from, in order: of one kind, and with columns that one table can have."""

    others: list[Share]
    """What does not go together with the shares before it."""

    kind: SeriesKind = SeriesKind.NOTHING
    columns: Sequence[str] = ()
    description: str = ""
    summary: Summary = field(default_factory=lambda: NOTHING)
    chunks: Sequence[Chunk] = ()

    @property
    def metric(self) -> str:
        """The name of the series."""
        return self.place[2]

    @property
    def run(self) -> RunPlace:
        """Workspace and run of the series."""
        return self.place[:2]


def group_by_series(appends: Iterable[MetricAppend]) -> Sequence[SeriesGrowth]:
    """Puts together and encodes what is appended to each series, in the order of the appends; sorted by series."""
    growths = arrange_by_series(appends)
    encode_growths(growths)
    return growths


def arrange_by_series(appends: Iterable[MetricAppend]) -> Sequence[SeriesGrowth]:
    """The same without chunks and summaries, which `encode_growths` makes."""
    runs: dict[RunPlace, dict[str, list[Share]]] = {}
    for append in appends:
        if append.payload is None:
            continue
        metrics = runs.setdefault((append.key.workspace, append.key.run), {})
        for piece in append.payload.pieces:
            metrics.setdefault(piece.metric, []).append((append, piece))
    return [
        _arrange((*run, metric), runs[run][metric])
        for run in sorted(runs)
        for metric in sorted(runs[run])  # by run first: there are fewer of them than of series
    ]


def make_growth(place: Place, shares: Sequence[Share]) -> SeriesGrowth:
    """Makes a growth of those shares that go together with the first one."""
    growth = _arrange(place, shares)
    encode_growths([growth])
    return growth


def _arrange(place: Place, shares: Sequence[Share]) -> SeriesGrowth:
    if len(shares) == 1:
        piece = shares[0][1]
        return SeriesGrowth(place, list(shares), [], piece.kind, piece.columns, piece.description, NOTHING)
    growth = SeriesGrowth(place, [], [])
    for share in shares:
        _add(growth, share)
    return growth


def _add(growth: SeriesGrowth, share: Share) -> None:
    piece = share[1]
    added = [name for name in piece.columns if name not in growth.columns] if piece.columns else []
    if not go_together(growth.kind, piece.kind) or len(growth.columns) + len(added) > MAX_COLUMNS:
        growth.others.append(share)
        return
    growth.kind = growth.kind or piece.kind
    if added:
        growth.columns = [*growth.columns, *added]
    growth.description = growth.description or piece.description
    growth.shares.append(share)


def go_together(one: SeriesKind, other: SeriesKind) -> bool:
    """Whether a series can hold both."""
    return one is other or not (one and other)


def encode_growths(growths: Sequence[SeriesGrowth]) -> None:
    """Makes the chunks and the summaries of some growths; many at once take much less than one after the other."""
    contents = [_contents(growth) for growth in growths]
    encoded = iter(encode_chunks([each for of_growth in contents for each in of_growth if isinstance(each, Points)]))
    for growth, of_growth in zip(growths, contents, strict=True):
        growth.chunks = [content if isinstance(content, Chunk) else next(encoded) for content in of_growth]
        for place, chunk in enumerate(growth.chunks):
            growth.summary = growth.summary.then(chunk.summary) if place else chunk.summary


def _contents(growth: SeriesGrowth) -> Sequence[Points | Chunk]:
    """What becomes a chunk each, in order; what is none yet is joined."""
    if len(growth.shares) == 1:
        content = growth.shares[0][1].content
        return (content,) if isinstance(content, Chunk) or content.count else ()
    contents: list[Points | Chunk] = []
    for is_chunk, neighbours in groupby((piece.content for _, piece in growth.shares), key=_is_chunk):
        if is_chunk:
            contents.extend(neighbours)
        else:
            contents.extend(joined(points for points in neighbours if isinstance(points, Points) and points.count))
    return contents


def _is_chunk(content: Points | Chunk) -> bool:
    return isinstance(content, Chunk)
