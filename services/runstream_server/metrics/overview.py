"""What is known of many values without decoding them: the least and the greatest number of every 128 or so.

An overview consists of buckets of up to 65,535 consecutive values, which follow each other without gap. Overviews of
neighbours join into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.model import Doubles, Int64s, Kind, Points

BUCKET_POINTS = 128


@dataclass(frozen=True, slots=True)
class Extremes:
    """The least or the greatest number of each bucket, infinities included, NaN left out."""

    indexes: Int64s
    steps: Int64s
    times: Int64s

    values: Doubles
    """NaN where a bucket has no number; its index, step and time mean nothing."""

    def where(self, chosen: NDArray[np.bool_]) -> "Extremes":
        """Those of the chosen buckets."""
        return Extremes(self.indexes[chosen], self.steps[chosen], self.times[chosen], self.values[chosen])


@dataclass(frozen=True, slots=True)
class Overview:
    """Buckets of consecutive values of one series, as columns with one element for each bucket, in order."""

    starts: Int64s
    """The index of the first value within the series."""

    counts: Int64s

    numbers: Int64s
    """How many values are numbers, NaN left out."""

    min_steps: Int64s
    max_steps: Int64s

    min_times: Int64s
    """Microseconds since the Unix epoch, UTC."""

    max_times: Int64s
    least: Extremes
    greatest: Extremes

    @property
    def ends(self) -> Int64s:
        """The index after the last value."""
        return self.starts + self.counts

    def where(self, chosen: NDArray[np.bool_]) -> "Overview":
        """The chosen buckets."""
        return Overview(
            self.starts[chosen],
            self.counts[chosen],
            self.numbers[chosen],
            self.min_steps[chosen],
            self.max_steps[chosen],
            self.min_times[chosen],
            self.max_times[chosen],
            self.least.where(chosen),
            self.greatest.where(chosen),
        )


def overview_of(points: Points, start_index: int) -> Overview:
    """Computes the overview of 1 or more points, the first of which has this index."""
    steps = np.arange(start_index, start_index + points.count) if points.steps is None else points.steps
    values = numbers_of(points)
    cuts = _cuts(points.count)
    parts = [
        _buckets(steps[start:end], points.times[start:end], values[start:end], start_index + start, size)
        for start, end, size in cuts
    ]
    return join_overviews(parts)


def numbers_of(points: Points) -> Doubles:
    """The values as doubles; NaN in place of what is no number."""
    if len(points.segments) == 1 and points.segments[0].kind is Kind.DOUBLE:
        return cast("Doubles", points.segments[0].array)
    numbers = np.full(points.count, np.nan)
    begin = 0
    for segment in points.segments:
        if segment.kind in (Kind.DOUBLE, Kind.INT64):
            numbers[begin : begin + segment.count] = segment.array
        begin += segment.count
    return numbers


def _cuts(count: int) -> Sequence[tuple[int, int, int]]:
    """Start, end and bucket size of the two parts: whole buckets, and a shorter one."""
    whole = count // BUCKET_POINTS * BUCKET_POINTS
    cuts = ((0, whole, BUCKET_POINTS), (whole, count, count - whole))
    return [cut for cut in cuts if cut[0] < cut[1]]


def _buckets(steps: Int64s, times: Int64s, values: Doubles, start_index: int, size: int) -> Overview:
    """The overview of values that make whole buckets of `size`."""
    firsts = np.arange(0, len(values), size)
    min_steps, max_steps = _range(steps, size)
    min_times, max_times = _range(times, size)
    places, numbers = _extreme_places(values.reshape(-1, size))
    extremes = [
        Extremes(start_index + chosen, steps[chosen], times[chosen], values[chosen])
        for chosen in (firsts + place for place in places)
    ]
    counts = np.full(len(firsts), size)
    return Overview(
        start_index + firsts, counts, numbers, min_steps, max_steps, min_times, max_times, extremes[0], extremes[1]
    )


def _range(column: Int64s, size: int) -> tuple[Int64s, Int64s]:
    rows = column.reshape(-1, size)
    return rows.min(axis=1), rows.max(axis=1)


def _extreme_places(rows: Doubles) -> tuple[tuple[Int64s, Int64s], Int64s]:
    """Where in each row the least and the greatest number are, and how many numbers it has."""
    least, greatest = rows.argmin(axis=1), rows.argmax(axis=1)
    numbers = np.full(len(rows), rows.shape[1])
    with_nan = np.flatnonzero(np.isnan(rows[np.arange(len(rows)), least]))  # argmin takes NaN for the least
    for row in with_nan.tolist():
        known = np.flatnonzero(~np.isnan(rows[row]))
        numbers[row] = len(known)
        if len(known):
            least[row] = known[rows[row, known].argmin()]
            greatest[row] = known[rows[row, known].argmax()]
    return (least, greatest), numbers


def join_overviews(parts: Sequence[Overview]) -> Overview:
    """Joins 1 or more overviews, in the order of their values."""
    if len(parts) == 1:
        return parts[0]
    return Overview(
        np.concatenate([part.starts for part in parts]),
        np.concatenate([part.counts for part in parts]),
        np.concatenate([part.numbers for part in parts]),
        np.concatenate([part.min_steps for part in parts]),
        np.concatenate([part.max_steps for part in parts]),
        np.concatenate([part.min_times for part in parts]),
        np.concatenate([part.max_times for part in parts]),
        _join_extremes([part.least for part in parts]),
        _join_extremes([part.greatest for part in parts]),
    )


def _join_extremes(parts: Sequence[Extremes]) -> Extremes:
    return Extremes(
        np.concatenate([part.indexes for part in parts]),
        np.concatenate([part.steps for part in parts]),
        np.concatenate([part.times for part in parts]),
        np.concatenate([part.values for part in parts]),
    )
