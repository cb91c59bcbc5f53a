"""What a token of a run reaches: its run and those below it, and what these were made from."""

import time
from collections import OrderedDict
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol, TypeVar

from runstream_server.names import ExperimentName, RunName, SnapshotName

if TYPE_CHECKING:
    from runstream_server.runhistory.lineage import RunPlace

K = TypeVar("K")
V = TypeVar("V")

_MOST = 50_000
_MOST_STEPS = 10_000
_AT_ONCE = 500


class RunPlaces(Protocol):
    """Asks where runs stand."""

    async def place(self, run: RunName) -> "RunPlace | None":
        """Returns where a run stands; None if there is none."""

    async def places(self, runs: Sequence[RunName]) -> "Sequence[RunPlace] | None":
        """Returns where runs of one workspace stand; None if they have to be asked for one by one."""

    async def is_made_below(self, run: RunName, snapshot: str) -> bool:
        """Whether a run below another one says that it was made from a snapshot."""


class Definitions(Protocol):
    """Asks what runs execute."""

    async def snapshot(self, run: RunName) -> SnapshotName | None:
        """Returns the snapshot that a submitted run executes; None if it is none, or executes none."""


class Reach:
    """Decides what a run reaches. Who is above a run never changes, so what was found out once is kept."""

    def __init__(self, places: RunPlaces, definitions: Definitions, *, seconds: float) -> None:
        """`seconds` says for how long a run that was looked up is believed not to be deleted."""
        self._places = places
        self._definitions = definitions
        self._seconds = seconds
        self._parents: OrderedDict[RunName, RunName | None] = OrderedDict()
        self._snapshots: OrderedDict[tuple[RunName, SnapshotName], bool] = OrderedDict()
        self._present: OrderedDict[RunName, tuple[RunPlace, float]] = OrderedDict()

    async def is_present(self, run: RunName) -> bool:
        """Whether a run exists and is not deleted."""
        return await self._present_place(run) is not None

    async def _present_place(self, run: RunName) -> "RunPlace | None":
        place, until = self._present.get(run) or (None, 0.0)
        if place is None or until < time.monotonic():
            return await self.look_again(run)
        return place

    async def look_again(self, run: RunName) -> "RunPlace | None":
        """Where a run stands now; None if it does not exist or is deleted."""
        place = await self._places.place(run)
        if place is None or place.is_deleted:
            self._present.pop(run, None)
            return None
        _keep(self._present, run, (place, time.monotonic() + self._seconds))
        _keep(self._parents, run, place.parent)
        return place

    async def unreached(self, run: RunName, names: Sequence[RunName]) -> RunName | None:
        """The first of some runs of the same workspace that is neither `run` nor below it; None: there is none."""
        unknown = [name for name in names if name != run and name not in self._parents]
        for start in range(0, len(unknown), _AT_ONCE):
            await self._learn(unknown[start : start + _AT_ONCE])
        for name in names:
            if not await self._is_at_or_below(name, run):
                return name
        return None

    async def _learn(self, names: Sequence[RunName]) -> None:
        """Finds out the parents of several runs at once, if all of them exist."""
        if len(names) > 1 and (places := await self._places.places(names)) is not None:
            for name, place in zip(names, places, strict=True):
                _keep(self._parents, name, place.parent)

    async def _is_at_or_below(self, name: RunName, run: RunName) -> bool:
        above: RunName | None = name
        for _ in range(_MOST_STEPS):
            if above is None or above == run:
                break
            above = await self._parent(above)
        return above == run

    async def _parent(self, name: RunName) -> RunName | None:
        if name not in self._parents:
            place = await self._places.place(name)
            if place is None:
                return None
            _keep(self._parents, name, place.parent)
        return self._parents[name]

    async def has_experiment(self, run: RunName, experiment: ExperimentName) -> bool:
        """Whether a run, and so each one below it, is of an experiment."""
        place = await self._present_place(run)
        return place is not None and place.experiment == experiment

    async def has_snapshot(self, run: RunName, snapshot: SnapshotName) -> bool:
        """Whether a run, or one below it, was made from a snapshot."""
        if (run, snapshot) in self._snapshots:
            return True
        place = await self._present_place(run)
        found = (
            (place is not None and place.snapshot == snapshot.snapshot)
            or await self._definitions.snapshot(run) == snapshot
            or await self._places.is_made_below(run, snapshot.snapshot)
        )
        if found:
            _keep(self._snapshots, (run, snapshot), found)
        return found


def _keep(kept: "OrderedDict[K, V]", key: K, value: V) -> None:
    kept[key] = value
    kept.move_to_end(key)
    if len(kept) > _MOST:
        kept.popitem(last=False)
