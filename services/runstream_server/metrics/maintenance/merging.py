"""Decides which chunks are merged, and merges them."""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby, islice

import numpy as np

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.encoding import encode_chunk, join_points
from runstream_server.metrics.model import Chunk, Points
from runstream_server.metrics.short_curves import decode_short_curves
from runstream_server.names import RunName

logger = logging.getLogger(__name__)

_MERGED_POINTS = 16_384
_MERGED_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a chunk lies, and how large it is."""

    series: int
    start_index: int
    count: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Merge:
    """Neighbouring chunks of one series, in order, that become one."""

    extents: Sequence[Extent]

    @property
    def size_bytes(self) -> int:
        """How much memory the points take, about."""
        return sum(extent.size_bytes for extent in self.extents)


@dataclass(frozen=True, slots=True)
class Merged:
    """What became of a merge."""

    merge: Merge
    chunk: Chunk


def plan_merges(extents: Sequence[Extent]) -> Sequence[Merge]:
    """Plans how the small chunks at the ends of series are merged; `extents` are sorted by series and index.

    Of each series the chunks from the first one on that is not larger than all after it together: so a value is
    rewritten a logarithmic number of times on its way into a large chunk.
    """
    return [
        Merge(group)
        for _, of_series in groupby(extents, key=lambda extent: extent.series)
        for neighbours in _neighbours(list(of_series))
        for group in _groups(_worth_merging(neighbours))
        if len(group) > 1
    ]


def _neighbours(extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    """Cuts where something is missing."""
    start = 0
    for place in range(1, len(extents) + 1):
        if place == len(extents) or extents[place].start_index != _end(extents[place - 1]):
            yield extents[start:place]
            start = place


def _end(extent: Extent) -> int:
    return extent.start_index + extent.count


def _worth_merging(extents: Sequence[Extent]) -> Sequence[Extent]:
    counts = [extent.count for extent in extents]
    totals = list(accumulate(reversed(counts)))[::-1]  # of each chunk and all after it
    for place, count in enumerate(counts):
        if count <= totals[place] - count:
            return extents[place:]
    return ()


def _groups(extents: Sequence[Extent]) -> Iterator[Sequence[Extent]]:
    group: list[Extent] = []
    count = size = 0
    for extent in extents:
        count, size = count + extent.count, size + extent.size_bytes
        if group and (count > _MERGED_POINTS or size > _MERGED_BYTES):
            yield group
            group, count, size = [], extent.count, extent.size_bytes
        group.append(extent)
    if group:
        yield group


def merge_chunks(run: RunName, merges: Sequence[tuple[Merge, Sequence[bytes]]]) -> Sequence[Merged]:
    """Makes one chunk of the bytes of each merge; leaves a merge out, and as it is, whose bytes are damaged."""
    merged = []
    decoded = iter(decode_short_curves([content for _, contents in merges for content in contents]))
    for merge, contents in merges:
        known = list(islice(decoded, len(contents)))
        try:
            pieces = [points or decode_points(content) for points, content in zip(known, contents, strict=True)]
            merged.append(Merged(merge, _merge(merge, pieces)))
        except StoredBytesDamaged as error:
            extra = {"run": str(run), "series": merge.extents[0].series, "start_index": merge.extents[0].start_index}
            logger.error("damaged chunk not merged", extra={**extra, "error": str(error)})
    return merged


def _merge(merge: Merge, pieces: Sequence[Points]) -> Chunk:
    if [points.count for points in pieces] != [extent.count for extent in merge.extents]:
        raise StoredBytesDamaged("a chunk does not have as many values as its row says")
    if any(points.steps is not None for points in pieces):
        starts = [extent.start_index for extent in merge.extents]
        pieces = [with_steps(points, start) for points, start in zip(pieces, starts, strict=True)]
    return encode_chunk(join_points(pieces))


def with_steps(points: Points, start_index: int) -> Points:
    """The same points with a step for each; the first has the index `start_index`."""
    if points.steps is not None:
        return points
    return Points(np.arange(start_index, start_index + points.count), points.times, points.segments)
