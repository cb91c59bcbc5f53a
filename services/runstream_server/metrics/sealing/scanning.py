"""Finds runs that have ended and have values which are not sealed."""

from time import perf_counter

from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.runhistory import RunHistory

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
        ended = await self._history.ended([run for run, known in runs if not known])
        if ended:
            await self._store.add_tasks(ended)
        pause = (perf_counter() - begun) * _PAUSE_PER_WORK
        if runs:
            last = runs[-1][0]
            await self._store.finish_scan((last.workspace, last.run), pause)
        else:
            await self._store.finish_scan(("", ""), max(pause, self._round_seconds))
