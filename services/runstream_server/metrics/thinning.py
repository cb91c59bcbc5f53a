"""Thins numbers to what a chart shows."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np

from runstream_server.metrics.model import Bools, Doubles, Int64s
from runstream_server.metrics.overview import BUCKET_POINTS


@dataclass(frozen=True, slots=True)
class Numbers:
    """Numbers of one series, infinities included, NaN left out, as columns of equal length."""

    places: Int64s
    """Where they are on the axis."""

    indexes: Int64s
    values: Doubles

    @property
    def count(self) -> int:
        """How many numbers there are."""
        return len(self.values)

    def at(self, chosen: Int64s | Bools) -> "Numbers":
        """The chosen ones, in the order of the choice."""
        return Numbers(self.places[chosen], self.indexes[chosen], self.values[chosen])

    def on_axis(self) -> "Numbers":
        """All of them, ascending by place and then by index."""
        return self.at(np.lexsort((self.indexes, self.places)))


def join_numbers(parts: Sequence[Numbers]) -> Numbers:
    """Joins 0 or more."""
    empty = Numbers(np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0))
    return Numbers(
        np.concatenate([empty.places, *(part.places for part in parts)]),
        np.concatenate([empty.indexes, *(part.indexes for part in parts)]),
        np.concatenate([empty.values, *(part.values for part in parts)]),
    )


def bucket_extremes(numbers: Numbers) -> Numbers:
    """The least and the greatest of every 128 numbers or so, as overviews have them."""
    buckets = np.arange(numbers.count) // BUCKET_POINTS
    return numbers.at(_extremes(buckets, numbers.values))


def thin(numbers: Numbers, max_points: int) -> Numbers:
    """The least and the greatest number of each of equally wide sections of the axis, ascending by place and index.

    Of several equal ones the first. All numbers if there are at most `max_points` (2 or more). A number may come twice
    and counts once.
    """
    numbers = _once(numbers.on_axis())
    if numbers.count <= max_points:
        return numbers
    return numbers.at(_extremes(_sections(numbers.places, max_points // 2), numbers.values))


def _once(numbers: Numbers) -> Numbers:
    """Leaves out repetitions of a number, which stand side by side."""
    return numbers.at(np.diff(numbers.indexes, prepend=-1) != 0)


def _sections(places: Int64s, count: int) -> Int64s:
    """In which of `count` sections, from 0, each of ascending places lies."""
    offsets = (places - places[0]).view(np.uint64).astype(np.float64)  # wraps around to what is meant
    sections = (offsets * (count / (offsets[-1] + 1))).astype(np.int64)
    return cast("Int64s", np.minimum(sections, count - 1))


def _extremes(groups: Int64s, values: Doubles) -> Int64s:
    """Where the first least and the first greatest value of each of ascending groups are, ascending, each once."""
    if not len(values):
        return np.empty(0, np.int64)
    starts = np.flatnonzero(np.diff(groups, prepend=groups[0] - 1))
    lengths = np.diff(starts, append=len(groups))
    firsts = [_first_equal(values, np.repeat(extreme.reduceat(values, starts), lengths), groups) for extreme in _ENDS]
    return np.unique(np.concatenate(firsts))


_ENDS = (np.minimum, np.maximum)


def _first_equal(values: Doubles, wanted: Doubles, groups: Int64s) -> Int64s:
    """Where in each group the first value is that equals the wanted one."""
    equal = np.flatnonzero(values == wanted)
    return cast("Int64s", equal[np.diff(groups[equal], prepend=-1) != 0])
