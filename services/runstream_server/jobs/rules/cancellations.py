"""Ends waiting jobs whose runs were ended or are to be cancelled: nobody else is there to do so."""

import asyncio
import logging
from collections.abc import Collection, Sequence
from contextlib import aclosing

from runstream_server.errors import RunstreamError
from runstream_server.jobs.model import HeldJob, JobState
from runstream_server.jobs.rules.settling import CANCELED, Settling
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.store.upkeep import UpkeepStore
from runstream_server.names import RunName, WorkspaceName
from runstream_server.runhistory import ManagedRuns, RunFacts, RunHistory

logger = logging.getLogger(__name__)

_TO_CANCEL = "status = CancelRequested"
_PAGE = 1_000
_AT_ONCE = 32
_BACKOFF_SECONDS = 0.5
_WAITING = [JobState.QUEUED, JobState.OFFERED]


class Cancellations:
    """Watches the runs of workspaces with queued jobs."""

    def __init__(
        self,
        upkeep: UpkeepStore,
        jobs: JobStore,
        settling: Settling,
        history: RunHistory,
        runs: ManagedRuns,
        tasks: asyncio.TaskGroup,
    ) -> None:
        self._upkeep = upkeep
        self._jobs = jobs
        self._settling = settling
        self._history = history
        self._runs = runs
        self._tasks = tasks
        self._watches: dict[str, asyncio.Task[None]] = {}

    def watch(self, workspace: str) -> None:
        """Begins to watch a workspace, unless it is watched."""
        if workspace not in self._watches:
            self._watches[workspace] = self._tasks.create_task(self._watch(workspace), name=f"jobs-watch-{workspace}")

    async def sweep(self) -> None:
        """Looks at all workspaces with queued jobs, and no longer watches those without."""
        watched = set(self._watches)
        workspaces = await self._upkeep.workspaces_with_queues()
        self._forget(watched - set(workspaces))
        for workspace in workspaces:
            self.watch(workspace)
            await self._look(workspace)

    def stop(self) -> None:
        """Stops watching."""
        self._forget(set(self._watches))

    def _forget(self, workspaces: Collection[str]) -> None:
        for workspace in workspaces:
            self._watches.pop(workspace).cancel()

    async def _watch(self, workspace: str) -> None:
        """Watches until cancelled; resumes where it stopped."""
        token = ""
        while True:
            try:
                async with aclosing(self._history.watch(workspace, token)) as changes:
                    async for change in changes:
                        if not token:
                            await self._look_at_all(workspace)  # for what was before the stream began
                        await self._end_those_of(workspace, change.runs)
                        token = change.resume_token
            except RunstreamError as error:
                logger.info("watching runs of jobs again", extra={"workspace": workspace, "reason": error.reason})
            except Exception as error:  # noqa: BLE001 - whatever it is, begin anew: the token may be at fault
                logger.warning("watching runs of jobs anew", extra={"workspace": workspace, "error": repr(error)})
                token = ""
            await asyncio.sleep(_BACKOFF_SECONDS)

    async def _look(self, workspace: str) -> None:
        token = ""
        while True:
            names, token = await self._history.list_runs(WorkspaceName(workspace), _TO_CANCEL, token, _PAGE)
            for held in await self._waiting(workspace, names):
                await self._settling.judge(held, _WAITING, CANCELED)
            if not token:
                return

    async def _look_at_all(self, workspace: str) -> None:
        after = ""
        while waiting := await self._upkeep.all_waiting(workspace, after, _AT_ONCE):
            runs = {run.name: run for run in await self._runs.get_known([held.name for held in waiting])}
            for held in waiting:
                run = runs.get(held.name)
                if run is None or run.has_ended:
                    await self._end(held)
                elif run.is_to_cancel:
                    await self._settling.judge(held, _WAITING, CANCELED)
            after = waiting[-1].name.run

    async def _end_those_of(self, workspace: str, runs: Sequence[RunFacts]) -> None:
        ended = {facts.name for facts in runs if facts.end_time is not None}
        for held in await self._waiting(workspace, [facts.name for facts in runs]):
            if held.name in ended:
                await self._end(held)
            else:
                await self._settling.judge(held, _WAITING, CANCELED)

    async def _waiting(self, workspace: str, names: Sequence[RunName]) -> Sequence[HeldJob]:
        return await self._upkeep.waiting(workspace, [name.run for name in names]) if names else []

    async def _end(self, held: HeldJob) -> None:
        job = await self._jobs.get(held.name)
        if job is not None and job.state in _WAITING:
            await self._settling.change(job, Change(JobState.ENDED, raises_lease=True))
