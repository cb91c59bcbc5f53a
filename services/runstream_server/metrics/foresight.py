"""Foresees where the next values of series will lie, so that they can be stored before the series are locked."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import TypeAlias

from runstream_server.metrics.grouping import Place, SeriesGrowth

_MAX_SERIES = 20_000

Ends: TypeAlias = Mapping[Place, tuple[int, int]]
"""The number of series, and how many values they have."""


class Foresight:
    """Remembers how many values series have that this process appends much to.

    It can be wrong, when somebody else appends to them as well: whoever relies on it finds that out under their locks.
    Series of which it was wrong are not foreseen again.
    """

    def __init__(self) -> None:
        self._ends: dict[Place, tuple[int, int]] = {}
        self._shared: dict[Place, None] = {}

    def advance(self, growths: Sequence[SeriesGrowth]) -> Ends | None:
        """Counts what will be appended; returns what the series will have then, if all of them are known."""
        ends = self._ends
        after: dict[Place, tuple[int, int]] = {}
        for growth in growths:
            known = ends.get(growth.place)
            if known is not None:
                after[growth.place] = ends[growth.place] = known[0], known[1] + growth.summary.count
        return after if len(after) == len(growths) else None

    def knows(self, growths: Sequence[SeriesGrowth]) -> bool:
        """Whether all of the series are known."""
        return all(growth.place in self._ends for growth in growths)

    def learn(self, ends: Ends) -> None:
        """Takes note of series that were not known."""
        for place, end in ends.items():
            if place not in self._shared:
                self._ends.setdefault(place, end)
        _bound(self._ends)

    def forget(self, growths: Sequence[SeriesGrowth], *, shared: bool = False) -> None:
        """Forgets series; those that others append to for good."""
        for growth in growths:
            if self._ends.pop(growth.place, None) is not None and shared:
                self._shared[growth.place] = None
        _bound(self._shared)

    def forget_places(self, places: Iterable[Place]) -> None:
        """Forgets series to which something is appended that is not foreseen."""
        if self._ends:
            for place in places:
                self._ends.pop(place, None)


def _bound(places: dict[Place, tuple[int, int]] | dict[Place, None]) -> None:
    for place in list(islice(places, max(0, len(places) - _MAX_SERIES))):
        del places[place]
