"""The number at the greatest step of a series: of several there the one with the latest time, of those the greatest."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from math import isnan
from typing import NamedTuple, TypeAlias, cast

import numpy as np

from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.model import Bools, Doubles, Int64s, Kind, Points, Series, StoredChunk
from runstream_server.metrics.overview import Overview
from runstream_server.metrics.short_curves import decode_short_curves

NUMBERS = (Kind.DOUBLE, Kind.INT64, Kind.BOOL)
_MANY = 64

_Columns: TypeAlias = tuple[Int64s, Int64s, Doubles]
"""Steps, times and values, of equal length."""


class Latest(NamedTuple):
    """A number of a series."""

    step: int

    time: int
    """Microseconds since the Unix epoch, UTC."""

    value: float

    @property
    def rank(self) -> tuple[int, int, bool, float]:
        """What is greater is later; NaN is below all other numbers."""
        is_number = not isnan(self.value)
        return self.step, self.time, is_number, self.value if is_number else 0.0


@dataclass(frozen=True, slots=True)
class LatestOfSeries:
    """What is known of the latest number of a series."""

    series: Series

    known_count: int
    """Among how many of its first values it is the latest; perhaps among some more."""

    latest: Latest | None
    """None: there is no number among them."""


def later(one: Latest | None, other: Latest | None) -> Latest | None:
    """The later one of both."""
    if one is None or other is None:
        return one or other
    return max(one, other, key=lambda each: each.rank)


def latest_of_chunks(chunks: Sequence[StoredChunk]) -> Mapping[int, Latest]:
    """The latest numbers among all values of chunks, wanted or not, by number of the series; none of who has none.

    Chunks of one series stand together. Raises StoredBytesDamaged.
    """
    groups = groupby(zip(chunks, _decoded(chunks), strict=True), key=lambda pair: pair[0].series.number)
    columns = {
        number: _joined([_at_last_step(numbers_of(points, chunk.start_index)) for chunk, points in group])
        for number, group in groups
    }
    found = {number: each for number, each in columns.items() if len(each[0])}
    return dict(zip(found, _latest(list(found.values())), strict=True)) if found else {}


def latest_of_points(points: Points, start_index: int) -> Latest | None:
    """The latest number among points, the first of which has this index; None if there is none."""
    columns = _at_last_step(numbers_of(points, start_index))
    return next(_latest([columns])) if len(columns[0]) else None


def _decoded(chunks: Sequence[StoredChunk]) -> Iterator[Points]:
    stored = [chunk.data for chunk in chunks if isinstance(chunk.data, bytes)]
    short = iter(decode_short_curves(stored))
    for chunk in chunks:
        yield chunk.data if isinstance(chunk.data, Points) else next(short) or decode_points(chunk.data)


def numbers_of(points: Points, start_index: int) -> _Columns:
    """Those of the points that are numbers."""
    steps = np.arange(start_index, start_index + points.count) if points.steps is None else points.steps
    if len(points.segments) == 1 and points.segments[0].kind is Kind.DOUBLE:
        return steps, points.times, cast("Doubles", points.segments[0].array)
    ends = accumulate(segment.count for segment in points.segments)
    parts = [
        (steps[end - segment.count : end], points.times[end - segment.count : end], segment.array.astype(np.float64))
        for segment, end in zip(points.segments, ends, strict=True)
        if segment.kind in NUMBERS
    ]
    return _joined(parts)


def _at_last_step(columns: _Columns) -> _Columns:
    """Leaves out of many numbers what cannot be the latest."""
    steps, times, values = columns
    if len(steps) < _MANY:
        return columns
    chosen = np.flatnonzero(steps == steps.max())
    return steps[chosen], times[chosen], values[chosen]


def _joined(parts: Sequence[_Columns]) -> _Columns:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0)
    steps, times, values = zip(*parts, strict=True)
    return np.concatenate(steps), np.concatenate(times), np.concatenate(values)


def _latest(groups: Sequence[_Columns]) -> Iterator[Latest]:
    """The latest one of each group of 1 or more numbers; of all groups at once."""
    steps, times, values = _joined(groups)
    owners = np.repeat(np.arange(len(groups)), [len(each[0]) for each in groups])
    last_steps = np.maximum.reduceat(steps, _starts(owners))
    chosen = steps == last_steps[owners]
    owners, times, values = owners[chosen], times[chosen], values[chosen]
    last_times = np.maximum.reduceat(times, _starts(owners))
    chosen = times == last_times[owners]
    greatest = np.fmax.reduceat(values[chosen], _starts(owners[chosen]))  # NaN only where all are
    return map(Latest, last_steps.tolist(), last_times.tolist(), greatest.tolist())


def _starts(owners: Int64s) -> Int64s:
    """Where each group begins."""
    return np.flatnonzero(np.diff(owners, prepend=-1))


class Candidates:
    """The buckets of a long series that may have its latest number, the most promising ones first.

    No number of a bucket is later than its greatest step, its latest time and its greatest number together, whichever
    values these belong to. So whatever is at least that late decides without the bucket being decoded.
    """

    def __init__(self, overview: Overview) -> None:
        self._overview = overview
        is_sure = overview.numbers == overview.counts  # else there may be truth values, whose greatest is not known
        self._greatest = np.where(is_sure, overview.greatest.values, np.inf)
        self._left = np.lexsort((self._greatest, overview.max_times, overview.max_steps))[::-1]

    def narrow(self, latest: Latest | None) -> bool:
        """Leaves out buckets that have nothing later than this; returns whether any are left."""
        if latest is not None:
            self._left = self._left[self._may_be_later(latest)]
        return len(self._left) > 0

    def _may_be_later(self, latest: Latest) -> Bools:
        steps, times = self._overview.max_steps[self._left], self._overview.max_times[self._left]
        is_greater = (self._greatest[self._left] > latest.value) | isnan(latest.value)
        is_later = (times > latest.time) | ((times == latest.time) & is_greater)
        may_be: Bools = (steps > latest.step) | ((steps == latest.step) & is_later)
        return may_be

    def take(self, count: int) -> Bools:
        """Chooses up to so many buckets, which are not chosen again."""
        chosen = np.zeros(len(self._overview.starts), np.bool_)
        chosen[self._left[:count]] = True
        self._left = self._left[count:]
        return chosen
