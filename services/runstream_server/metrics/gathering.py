"""Gets together the numbers of a series from which those for a chart are chosen."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runstream_server.metrics.model import Int64s, Series, Span, StoredChunk
from runstream_server.metrics.overview import BUCKET_POINTS, Extremes, Overview, numbers_of
from runstream_server.metrics.queries import Axis, CompareRequest, ThinnedSeries
from runstream_server.metrics.slices import points_of
from runstream_server.metrics.thinning import Numbers, bucket_extremes, join_numbers, thin
from runstream_server.metrics.windows import KnownSpan, Window

_BUCKETS_PER_SECTION = 2
_HELD_POINTS = 1_000_000
_LEAST, _GREATEST = -(2**63), 2**63 - 1


@dataclass(frozen=True, slots=True)
class Scale:
    """How the axis of the series of one run is made."""

    axis: Axis

    origin: int
    """The time at place 0 of relative time; 0 for other axes."""

    window: Window

    def places(self, steps: Int64s, times: Int64s) -> Int64s:
        """Where values of the window are on the axis."""
        return steps if self.axis is Axis.STEP else times - self.origin


def make_scale(request: CompareRequest, first_time: int) -> Scale:
    """The scale of a run whose earliest value was logged at `first_time`."""
    if request.axis is Axis.STEP:
        return Scale(request.axis, 0, Window(min_step=request.min, max_step=request.max))
    origin = first_time if request.axis is Axis.RELATIVE_TIME else 0
    window = Window(min_time=_clamped(request.min + origin), max_time=_clamped(request.max + origin))
    return Scale(request.axis, origin, window)


def _clamped(time: int) -> int:
    return max(_LEAST, min(time, _GREATEST))


class Held:
    """Numbers that were decoded, bounded in memory: of many only the extremes of every 128 are kept."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._all: list[Numbers] = []
        self._extremes: list[Numbers] = []
        self._all_count = self._extremes_count = 0

    def add(self, numbers: Numbers) -> None:
        """Adds some. Each goes through the choice of extremes once, unless there are millions of extremes."""
        self._all.append(numbers)
        self._all_count += numbers.count
        if self._all_count > self._limit:
            self._keep([*self._extremes, _few(self._all)])
            self._all, self._all_count = [], 0
        if self._extremes_count > self._limit:
            self._keep([_few(self._extremes)])

    def _keep(self, extremes: list[Numbers]) -> None:
        self._extremes = extremes
        self._extremes_count = sum(part.count for part in extremes)

    def parts(self) -> Sequence[Numbers]:
        """What is kept."""
        return [*self._extremes, *self._all]


def _few(parts: Sequence[Numbers]) -> Numbers:
    return bucket_extremes(join_numbers(parts).on_axis())


class Gathering:
    """The numbers of one series in the range, or as many of them as it takes to choose.

    Where an overview has many buckets in the range the least and the greatest number of each will do, and only what
    lies at the borders of the range is decoded.
    """

    def __init__(self, known: KnownSpan, scale: Scale, max_points: int) -> None:
        self.series: Series = known.span.series
        self._scale = scale
        self._max_points = max_points
        self._known: list[Numbers] = []
        self._held = Held(_HELD_POINTS + 2 * max_points * BUCKET_POINTS)
        self._count = 0
        self.spans: Sequence[Span] = self._plan(known)
        """What has to be decoded and added."""

    @property
    def span_points(self) -> int:
        """How many values have to be decoded."""
        return sum(span.count for span in self.spans)

    def _plan(self, known: KnownSpan) -> Sequence[Span]:
        overview, window = known.overview, self._scale.window
        if overview is None:
            return known.parts(None)
        meets = window.meets(overview) & (overview.numbers > 0)
        covered = meets & window.covers(overview)
        enough = _BUCKETS_PER_SECTION * (self._max_points // 2)
        if np.count_nonzero(covered) < enough or int(overview.numbers[covered].sum()) <= self._max_points:
            return known.parts(meets)
        self._take(overview.where(covered))
        return known.parts(meets & ~covered, read_on=0)

    def _take(self, overview: Overview) -> None:
        self._count += int(overview.numbers.sum())
        self._known += [self._numbers(overview.least), self._numbers(overview.greatest)]

    def _numbers(self, extremes: Extremes) -> Numbers:
        return Numbers(self._scale.places(extremes.steps, extremes.times), extremes.indexes, extremes.values)

    def add(self, chunk: StoredChunk) -> None:
        """Adds what is wanted of a chunk and within the range. Raises StoredBytesDamaged."""
        numbers = self._numbers_of(chunk)
        self._held.add(numbers)
        self._count += numbers.count

    def _numbers_of(self, chunk: StoredChunk) -> Numbers:
        steps, points = points_of(chunk)
        start = max(chunk.wanted_index, chunk.start_index)
        end = min(chunk.wanted_end, chunk.end_index)
        wanted = slice(start - chunk.start_index, end - chunk.start_index)
        steps, times, values = steps[wanted], points.times[wanted], numbers_of(points)[wanted]
        numbers = Numbers(self._scale.places(steps, times), np.arange(start, end), values)
        return numbers.at(~np.isnan(values) & self._scale.window.holds(steps, times))

    def thinned(self) -> ThinnedSeries:
        """Those to show."""
        chosen = thin(join_numbers([*self._known, *self._held.parts()]), self._max_points)
        return ThinnedSeries(self.series, chosen.places, chosen.values, self._count)
