"""Remembers which series get many small chunks."""

import asyncio
from collections.abc import Iterable, Sequence
from itertools import islice

from runstream_server.metrics.grouping import SeriesGrowth
from runstream_server.names import RunName

SMALL_POINTS = 2_048
"""A chunk with fewer points is small."""

SMALL_BYTES = 512 * 1024
"""A chunk that takes as much memory, or more, is not small, however few its points are."""

_WORTH_MERGING = 64
_MAX_SERIES = 100_000
_KEPT_SERIES = 90_000
_TAKEN_SERIES = 64

_Place = tuple[str, str, str]


class Fragments:
    """Counts the small chunks this process stored, by series, and hands out the series that have enough of them.

    In memory, for up to 100,000 series: what a process forgets, because it ends or has more, is merged when the series
    gets many small chunks again, and at the latest when the run is sealed.
    """

    def __init__(self) -> None:
        self._counts: dict[_Place, int] = {}
        self._due: dict[RunName, set[str]] = {}
        self._due_count = 0
        self._waiting = asyncio.Event()

    def note(self, growths: Iterable[SeriesGrowth]) -> None:
        """Takes note of what was stored."""
        counts = self._counts
        for growth in growths:
            place, chunks = growth.place, growth.chunks
            small = sum([is_small(chunk.summary.count, chunk.size_bytes) for chunk in chunks])
            if not small:
                continue
            counts[place] = counts.get(place, 0) + small
            if counts[place] >= _WORTH_MERGING:
                self._enqueue(place)
        self._bound()

    def _bound(self) -> None:
        counts = self._counts
        if len(counts) > _MAX_SERIES:
            for place in list(islice(counts, len(counts) - _KEPT_SERIES)):  # the oldest, many at once: that is cheaper
                del counts[place]

    def note_places(self, places: Iterable[_Place]) -> None:
        """Takes note of one small chunk that was stored of each of these series."""
        counts = self._counts
        for place in places:
            counts[place] = count = counts.get(place, 0) + 1
            if count >= _WORTH_MERGING:
                self._enqueue(place)
        self._bound()

    def _enqueue(self, place: _Place) -> None:
        workspace, run, metric = place
        del self._counts[place]
        if self._due_count >= _MAX_SERIES:
            return
        due = self._due.setdefault(RunName(workspace, run), set())
        self._due_count += metric not in due
        due.add(metric)
        self._waiting.set()

    async def take(self) -> tuple[RunName, Sequence[str]]:
        """Waits for series that have enough small chunks; returns some of one run."""
        while not self._due:
            self._waiting.clear()
            await self._waiting.wait()
        run = next(iter(self._due))
        metrics = list(islice(self._due[run], _TAKEN_SERIES))
        self._due[run].difference_update(metrics)
        self._due_count -= len(metrics)
        if not self._due[run]:
            del self._due[run]
        return run, metrics


def is_small(point_count: int, size_bytes: int) -> bool:
    """Whether a chunk is worth merging with its neighbours."""
    return point_count < SMALL_POINTS and size_bytes < SMALL_BYTES
