"""Makes of stored chunks what readers get: slices of one form, neither tiny nor huge, with a step for each value."""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from itertools import accumulate

import numpy as np

from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.encoding import join_segments
from runstream_server.metrics.model import Int64s, Kind, Points, Segment, Slice, StoredChunk
from runstream_server.metrics.windows import EVERYTHING, Window, true_runs

_SLICE_BYTES = 256 * 1024
_SLICED_ON_THE_LOOP_POINTS = 2_000


async def decoded_slices(chunks: Sequence[StoredChunk], window: Window = EVERYTHING) -> Sequence[Slice]:
    """The same as `slices`, in a thread when there is much to do."""
    if sum(chunk.count for chunk in chunks) <= _SLICED_ON_THE_LOOP_POINTS:
        return slices(chunks, window)
    return await asyncio.to_thread(slices, chunks, window)


def slices(chunks: Iterable[StoredChunk], window: Window = EVERYTHING) -> Sequence[Slice]:
    """Decodes chunks and returns what is wanted of them and within a window, in the same order.

    Raises:
        StoredBytesDamaged: A chunk is not what was stored.
    """
    cuts = (each for chunk in chunks for each in _of_chunk(chunk, window))
    return [part for joined in _joined(cuts) for part in _split(joined)]


def points_of(chunk: StoredChunk) -> tuple[Int64s, Points]:
    """The points of a chunk, wanted or not, and the step of each. Raises StoredBytesDamaged."""
    points = chunk.data if isinstance(chunk.data, Points) else decode_points(chunk.data)
    steps = np.arange(chunk.start_index, chunk.end_index) if points.steps is None else points.steps
    return steps, points


def _of_chunk(chunk: StoredChunk, window: Window) -> Iterator[Slice]:
    """One slice for each segment of a chunk that has values in range; more if values in between are not."""
    steps, points = points_of(chunk)
    begin = 0
    for segment in points.segments:
        first = max(begin, chunk.wanted_index - chunk.start_index)
        last = min(begin + segment.count, chunk.wanted_end - chunk.start_index)
        for start, end in _runs(window, steps, points.times, first, last):
            cut = Points(steps[start:end], points.times[start:end], [segment.cut(start - begin, end - begin)])
            yield Slice(chunk.series, chunk.start_index + start, cut)
        begin += segment.count


def _runs(window: Window, steps: Int64s, times: Int64s, first: int, last: int) -> Iterable[tuple[int, int]]:
    """Where values of a window begin and end among those from `first` to before `last`."""
    if first >= last:
        return ()
    if window.is_everything:
        return [(first, last)]
    return [
        (first + start, first + end) for start, end in true_runs(window.holds(steps[first:last], times[first:last]))
    ]


def _joined(parts: Iterable[Slice]) -> Iterator[Slice]:
    """Joins neighbours of one series and type while they are small."""
    waiting: list[Slice] = []
    size = 0
    for part in parts:
        added = part.segment.size_bytes
        if waiting and (size + added > _SLICE_BYTES or not _alike(waiting[-1], part)):
            yield _join(waiting)
            waiting, size = [], 0
        waiting.append(part)
        size += added
    if waiting:
        yield _join(waiting)


def _alike(one: Slice, other: Slice) -> bool:
    joins_on = one.series is other.series and one.end_index == other.start_index
    return joins_on and one.segment.form == other.segment.form


def _join(parts: Sequence[Slice]) -> Slice:
    if len(parts) == 1:
        return parts[0]
    points = Points(
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.points.times for part in parts]),
        [join_segments([part.segment for part in parts])],
    )
    return Slice(parts[0].series, parts[0].start_index, points)


def _split(part: Slice) -> Iterator[Slice]:
    """Cuts a slice that is too large into pieces."""
    ends = _ends(part.segment)
    for start, end in zip([0, *ends], ends, strict=False):
        cut = Points(part.steps[start:end], part.points.times[start:end], [part.segment.cut(start, end)])
        yield Slice(part.series, part.start_index + start, cut)


def _ends(segment: Segment) -> Sequence[int]:
    """Where to cut a segment so that no piece with more than one value is too large."""
    if segment.size_bytes <= _SLICE_BYTES:
        return [segment.count]
    if segment.kind not in (Kind.STRING, Kind.TABLE, Kind.ARTIFACTS):
        points = _SLICE_BYTES * segment.count // segment.size_bytes
        return [*range(points, segment.count, points), segment.count]
    totals = np.fromiter(accumulate(segment.cut(i, i + 1).size_bytes for i in range(segment.count)), np.int64)
    return _cuts(totals)


def _cuts(totals: Int64s) -> Sequence[int]:
    ends: list[int] = []
    while not ends or ends[-1] < len(totals):
        last = ends[-1] if ends else 0
        before = int(totals[last - 1]) if last else 0
        ends.append(max(last + 1, int(np.searchsorted(totals, before + _SLICE_BYTES, "right"))))
    return ends
