"""Forgets ended jobs whose runs are gone for ever: what was executed is known as long as its run is."""

from collections.abc import Sequence
from datetime import timedelta
from itertools import groupby

from runstream_server.jobs.store.upkeep import UpkeepStore
from runstream_server.names import RunName
from runstream_server.runhistory import ManagedRuns

KEPT = timedelta(days=1)
"""How long an ended job is kept in any case: requests may be repeated."""

AT_ONCE = 50


class Forgetting:
    """Goes through all ended jobs again and again, a few at a time."""

    def __init__(self, upkeep: UpkeepStore, runs: ManagedRuns) -> None:
        self._upkeep = upkeep
        self._runs = runs
        self._after: RunName | None = None

    async def make_pass(self) -> None:
        """Looks at the next ended jobs; raises RunHistoryUnavailable."""
        ended = await self._upkeep.ended(KEPT, self._after, AT_ONCE)
        for _, of_workspace in groupby(ended, key=lambda name: name.workspace):
            await self._forget_gone(list(of_workspace))
        self._after = ended[-1] if len(ended) == AT_ONCE else None

    async def _forget_gone(self, names: Sequence[RunName]) -> None:
        known = {run.name for run in await self._runs.get_known(names)}
        gone = [name for name in names if name not in known]
        if gone:
            await self._upkeep.forget(gone[0].workspace, [name.run for name in gone])
