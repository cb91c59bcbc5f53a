"""Ranges of steps and times, and where they lie in a series."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.model import Bools, Int64s, Span
from runstream_server.metrics.overview import Overview

_LEAST, _GREATEST = -(2**63), 2**63 - 1
_READ_ON_POINTS = 4_096

Interval: TypeAlias = tuple[int, int]
"""The index of the first value, and that after the last one."""


@dataclass(frozen=True, slots=True)
class Window:
    """Values whose steps and times are within these bounds, which count as within."""

    min_step: int = _LEAST
    max_step: int = _GREATEST
    min_time: int = _LEAST
    max_time: int = _GREATEST

    @property
    def is_everything(self) -> bool:
        """Whether all values are within."""
        return self == EVERYTHING

    def holds(self, steps: Int64s, times: Int64s) -> Bools:
        """Which of some values are within."""
        return self._meets(steps, steps, times, times)

    def meets(self, overview: Overview) -> Bools:
        """Which buckets may have values within."""
        return self._meets(overview.min_steps, overview.max_steps, overview.min_times, overview.max_times)

    def covers(self, overview: Overview) -> Bools:
        """Which buckets have no other values."""
        return self._meets(overview.max_steps, overview.min_steps, overview.max_times, overview.min_times)

    def _meets(self, low_steps: Int64s, high_steps: Int64s, low_times: Int64s, high_times: Int64s) -> Bools:
        steps = (high_steps >= self.min_step) & (low_steps <= self.max_step)
        return steps & (high_times >= self.min_time) & (low_times <= self.max_time)


EVERYTHING = Window()


@dataclass(frozen=True, slots=True)
class KnownSpan:
    """What is known of a span without decoding its values."""

    span: Span

    overview: Overview | None
    """Buckets that have values of the span, and perhaps some beside it; there may be gaps."""

    unknown: Sequence[Interval]
    """Values of the span that no bucket has."""

    def parts(self, chosen: Bools | None, read_on: int = _READ_ON_POINTS) -> Sequence[Span]:
        """The parts of the span that chosen buckets have, and what is unknown.

        Parts with up to `read_on` values between them become one: to read these costs less than to leave them out.
        """
        intervals = list(self.unknown)
        if self.overview is not None and chosen is not None:
            starts, ends = self.overview.starts, self.overview.ends
            intervals += [(int(starts[first]), int(ends[last - 1])) for first, last in true_runs(chosen)]
        first, beyond = self.span.start_index, self.span.end_index
        parts = (
            replace(self.span, start_index=max(start, first), end_index=min(end, beyond))
            for start, end in _joined(sorted(intervals), read_on)
        )
        return [part for part in parts if part.count > 0]


def _joined(intervals: Sequence[Interval], read_on: int) -> Iterator[Interval]:
    """Joins sorted intervals with little between them."""
    waiting: Interval | None = None
    for start, end in intervals:
        if waiting is not None and start - waiting[1] > read_on:
            yield waiting
            waiting = None
        waiting = (start, end) if waiting is None else (waiting[0], max(end, waiting[1]))
    if waiting is not None:
        yield waiting


def true_runs(flags: NDArray[np.bool_]) -> list[Interval]:
    """Where runs of True begin and end."""
    edges = np.flatnonzero(np.diff(flags.astype(np.int8), prepend=0, append=0)).tolist()
    return list(zip(edges[::2], edges[1::2], strict=True))
