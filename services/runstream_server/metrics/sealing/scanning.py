"""Finds runs that have ended and have values which are not sealed."""

from time import perf_counter

from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.names import RunName
from runstream_server.runhistory import RunHistory, RunNotFound

_PAUSE_PER_WORK = 20


class SealScan:
    """Asks the run history about the runs that have hot writers, some at a time, round after round.

    All processes share the work: one looks at a time, and where it stopped another one may go on.
    """

    def __init__(self, store: SealTaskStore, history: RunHistory, round_seconds: float) -> None:
        self._store = store
        self._history = history
        self._round_seconds = round_seconds

    async def look(self) -> None:
        """Looks at the next runs, if it is time."""
        after = await self._store.claim_scan()
        if after is None:
            return
        begun = perf_counter()
        runs = await self._store.hot_runs(after)
        ended = await self._ended([run for run, known in runs if not known])
        if ended:
            await self._store.add_tasks(ended)
        pause = (perf_counter() - begun) * _PAUSE_PER_WORK
        if runs:
            last = runs[-1][0]
            await self._store.finish_scan((last.workspace, last.run), pause)
        else:
            await self._store.finish_scan(("", ""), max(pause, self._round_seconds))

    async def _ended(self, runs: list[RunName]) -> list[RunName]:
        """Those that have ended, or are no longer known: nobody writes to them either."""
        ended: list[RunName] = []
        for workspace in sorted({run.workspace for run in runs}):
            of_workspace = [run for run in runs if run.workspace == workspace]
            try:
                facts = await self._history.get_runs(of_workspace)
                ended.extend(each.name for each in facts if each.end_time is not None)
            except RunNotFound:
                ended.extend([run for run in of_workspace if await self._has_ended(run)])
        return ended

    async def _has_ended(self, run: RunName) -> bool:
        try:
            return (await self._history.get_run(run)).end_time is not None
        except RunNotFound:
            return True
