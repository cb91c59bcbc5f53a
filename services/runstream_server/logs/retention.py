"""Removes the logs of runs that ended longer ago than their workspace keeps them."""

import logging
from collections.abc import Sequence
from datetime import datetime, timedelta
from time import perf_counter

from runstream_server.logs.retention_store import KeptFile, RetentionStore
from runstream_server.logs.rounds import FIRST, Round
from runstream_server.names import RunName, WorkspaceName
from runstream_server.runhistory import RunHistory, RunNotFound, WorkspaceNotFound

logger = logging.getLogger(__name__)

_PAUSE_PER_WORK = 20
_ROUND_SECONDS = 3_600.0


class Retention:
    """Looks at all files, some at a time, in a round each hour. What it removes, sealing clears away."""

    def __init__(self, round_: Round, store: RetentionStore, history: RunHistory, grace: timedelta) -> None:
        """Objects stay in the bucket for `grace`, for readers that are at them."""
        self._round = round_
        self._store = store
        self._history = history
        self._grace = grace

    async def look(self) -> None:
        """Looks at the next files, if it is time."""
        after = await self._round.claim()
        if after is None:
            return
        begun = perf_counter()
        now, files = await self._store.files(after)
        for workspace in sorted({file.key.workspace for file in files}):
            await self._remove_old(now, workspace, [file for file in files if file.key.workspace == workspace])
        pause = (perf_counter() - begun) * _PAUSE_PER_WORK
        if files:
            await self._round.finish(files[-1].key, pause)
        else:
            await self._round.finish(FIRST, max(pause, _ROUND_SECONDS))

    async def _remove_old(self, now: datetime, workspace: str, files: Sequence[KeptFile]) -> None:
        retention = await self._retention(workspace)
        if retention is None:
            return
        old = [file for file in files if now - file.update_time > retention]
        runs = {run for run in {file.key.run_name for file in old} if await self._ended_before(run, now - retention)}
        for file in old:
            if file.key.run_name in runs and await self._store.remove(file, self._grace):
                logger.info("log expired", extra={"run": str(file.key.run_name), "path": file.key.name})

    async def _retention(self, workspace: str) -> timedelta | None:
        try:
            return await self._history.log_retention(WorkspaceName(workspace))
        except WorkspaceNotFound:
            return None

    async def _ended_before(self, run: RunName, time: datetime) -> bool:
        """Whether a run ended before a time, or is no longer known."""
        try:
            facts = await self._history.get_run(run)
        except RunNotFound:
            return True
        return facts.end_time is not None and facts.end_time < time
