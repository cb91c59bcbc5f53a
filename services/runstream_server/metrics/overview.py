"""What is known of many values without decoding them: the least and the greatest number of every 128 or so.

An overview consists of buckets of up to 65,535 consecutive values, which follow each other without gap. Overviews of
neighbours join into one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isnan
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


@dataclass(frozen=True, slots=True)
class BucketPlaces:
    """Where in columns of values buckets are, and their extremes; one element for each bucket, in order."""

    starts: Int64s
    counts: Int64s

    numbers: Int64s
    """How many values are numbers, NaN left out."""

    extremes: Int64s
    """Six rows: where the least and the greatest step, the least and the greatest number, the least and the greatest
    time are. Places of numbers mean nothing where there are none."""


def overview_of(points: Points, start_index: int) -> Overview:
    """Computes the overview of 1 or more points, the first of which has this index."""
    steps = np.arange(start_index, start_index + points.count) if points.steps is None else points.steps
    values = numbers_of(points)
    buckets = bucket_places(steps, points.times, values)
    least_step, greatest_step, least, greatest, least_time, greatest_time = buckets.extremes
    return Overview(
        start_index + buckets.starts,
        buckets.counts,
        buckets.numbers,
        steps[least_step],
        steps[greatest_step],
        points.times[least_time],
        points.times[greatest_time],
        Extremes(start_index + least, steps[least], points.times[least], values[least]),
        Extremes(start_index + greatest, steps[greatest], points.times[greatest], values[greatest]),
    )


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


def bucket_places(steps: Int64s, times: Int64s, values: Doubles) -> BucketPlaces:
    """Cuts 1 or more values into buckets of 128; the last one may be shorter."""
    starts = np.arange(0, len(values), BUCKET_POINTS)
    counts = np.full(len(starts), BUCKET_POINTS)
    counts[-1] = len(values) - starts[-1]
    extremes = np.empty((6, len(starts)), np.int64)
    for row, column in ((0, steps), (2, values), (4, times)):
        _find_extremes(column, extremes[row], extremes[row + 1])
    extremes += starts
    numbers = counts
    found = values[extremes[2]]
    if isnan(found.min()):  # argmin and argmax take NaN for the least and the greatest
        numbers = counts.copy()
        for bucket in np.flatnonzero(np.isnan(found)).tolist():
            start = int(starts[bucket])
            numbers[bucket] = _leave_out_nan(values[start : start + BUCKET_POINTS], start, extremes[2:4, bucket])
    return BucketPlaces(starts, counts, numbers, extremes)


def curve_extremes(values: Doubles) -> tuple[Int64s, Int64s]:
    """Where in each row the least and the greatest value of each bucket are; where NaN is, if there is any."""
    rows, count = values.shape
    bucket_count = -(-count // BUCKET_POINTS)
    places = np.empty((2, rows, bucket_count), np.int64)
    whole = count // BUCKET_POINTS
    buckets = values[:, : whole * BUCKET_POINTS].reshape(rows, whole, BUCKET_POINTS)
    places[:, :, :whole] = buckets.argmin(axis=2), buckets.argmax(axis=2)
    if whole < bucket_count:
        rest = values[:, whole * BUCKET_POINTS :]
        places[:, :, whole] = rest.argmin(axis=1), rest.argmax(axis=1)
    places += np.arange(0, count, BUCKET_POINTS)
    return places[0], places[1]


def _find_extremes(column: NDArray[np.int64 | np.float64], least: Int64s, greatest: Int64s) -> None:
    """Notes where in each bucket the least and the greatest value are, counted from the start of the bucket."""
    whole = len(column) // BUCKET_POINTS
    rows = column[: whole * BUCKET_POINTS].reshape(whole, BUCKET_POINTS)
    rows.argmin(axis=1, out=least[:whole])
    rows.argmax(axis=1, out=greatest[:whole])
    if whole < len(least):
        rest = column[whole * BUCKET_POINTS :]
        least[whole], greatest[whole] = rest.argmin(), rest.argmax()


def _leave_out_nan(values: Doubles, start: int, extremes: Int64s) -> int:
    """Notes where in a bucket the least and the greatest number are; returns how many numbers it has."""
    known = np.flatnonzero(~np.isnan(values))
    if len(known):
        extremes[:] = start + known[values[known].argmin()], start + known[values[known].argmax()]
    return len(known)


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
