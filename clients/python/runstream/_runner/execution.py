"""One execution of a job, from its files to the ends of its processes."""

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from runstream._channel import Connection
from runstream._runner import containers, endings
from runstream._runner.access import Access
from runstream._runner.children import Children
from runstream._runner.console import BuildLog
from runstream._runner.crew import Crew, linger_seconds
from runstream._runner.environments.choosing import python_for
from runstream._runner.environments.specification import ENVIRONMENT_ERROR
from runstream._runner.failures import JobFailed
from runstream._runner.folder import WORK, Ending
from runstream._runner.holding import Holding
from runstream._runner.job import JobToRun
from runstream._runner.members import statuses
from runstream._runner.nodes import this_node
from runstream._runner.output import JobLogs
from runstream._runner.plan import make_plan
from runstream._runner.prepare import fill
from runstream._runner.script import Python
from runstream._runner.starting import Prepared, start_processes
from runstream._runner.telling import tell_processes, warn
from runstream._runner.tracking import add_tracking
from runstream._runner.variables import OUTPUTS, job_variables
from runstream._runner.watch import Orders
from runstream.api.jobs.v1.job_service_pb2 import ClaimJobResponse
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_PREPARING, RUN_STATUS_RUNNING
from runstream.exceptions import AzureMLException

GRACE_SECONDS: Final = 30.0
LOGS: Final = "logs"


class Execution:
    """Executes a job that is claimed."""

    def __init__(
        self,
        job: JobToRun,
        claimed: ClaimJobResponse,
        connection: Connection,
        children: Children,
        orders: Orders,
        holding: Holding,
        logs: JobLogs,
        folder: Path,
        access: Access,
    ) -> None:
        self._job = job
        self._work = folder / WORK
        self._definition = claimed.job.definition
        self._attempt = max(claimed.job.attempt, 1)
        self._connection = connection
        self._children = children
        self._orders = orders
        self._holding = holding
        self._logs = logs
        experiment = claimed.run.experiment_display_name
        self._variables = job_variables(job, experiment, self._definition, folder, access.variables())
        self._crew = Crew(children, logs)
        self._telling: asyncio.Task[None] | None = None

    async def run(self, note_processes: Callable[[], None]) -> Ending:
        """Executes the job until its processes have ended; how. `note_processes` is called when they are started.

        Raises:
            JobFailed: It cannot be executed.
        """
        self._holding.report(RUN_STATUS_PREPARING)
        async with AsyncExitStack() as kept:
            kept.callback(self._crew.close)
            try:
                ready = await self._orders.unless_given(self._prepare(kept))
            finally:
                await self._crew.stop(0, self._orders.is_urgent)
            if ready is None:
                return endings.of_order(self._orders)
            return await self._execute(ready, note_processes)

    async def told(self) -> None:
        """Returns when it is stored who the processes were."""
        if self._telling is not None:
            await self._telling

    async def close(self) -> None:
        """Stops what goes on beside: it is not wanted any more."""
        if self._telling is not None:
            self._telling.cancel()
            await asyncio.wait({self._telling})

    def statuses(self) -> list[dict[str, Any]]:
        """What became of the processes."""
        return statuses(self._crew.members)

    async def _prepare(self, kept: AsyncExitStack) -> Prepared:
        """Makes the working directory and finds or makes the environment, which stays as long as `kept` is open."""
        plan, work = make_plan(self._definition, this_node()), self._work
        await self._fill(work)
        await self._add_tracking()
        console = BuildLog(self._children, self._logs, work.parent, self._variables, self._attempt)
        kept.callback(console.close)
        try:
            if containers.is_wanted(self._definition):
                container = await containers.container_for(self._definition, self._variables, console)
                kept.push_async_callback(console.run, container.removal(plan.count))
                return Prepared(plan, Python("python", is_found=False), work, container)
            wanted = self._definition.environment.definition.python
            python = await kept.enter_async_context(python_for(wanted, work, self._variables, console))
        except OSError as error:
            raise JobFailed(ENVIRONMENT_ERROR, f"The environment could not be made: {error}") from error
        return Prepared(plan, python, work)

    async def _add_tracking(self) -> None:
        environment = self._definition.environment.definition
        chosen = {*environment.environment_variables, *self._definition.environment_variables}
        self._variables = await add_tracking(self._variables, self._job, self._connection, chosen)

    async def _fill(self, work: Path) -> None:
        try:
            await fill(self._connection, self._definition.snapshot, work)
            for folder in (OUTPUTS, LOGS):
                (work / folder).mkdir(exist_ok=True)
        except AzureMLException as error:
            raise JobFailed("SnapshotError", f"The files of the run could not be prepared: {error.message}") from error
        except OSError as error:
            raise JobFailed("SnapshotError", f"The files of the run could not be written: {error}") from error

    async def _execute(self, ready: Prepared, note_processes: Callable[[], None]) -> Ending:
        try:
            start_processes(self._crew, self._logs, self._definition, ready, self._variables, self._attempt)
        except JobFailed:
            await self._crew.stop(0, self._orders.is_urgent)
            raise
        self._holding.report(RUN_STATUS_RUNNING)
        note_processes()
        for folder in [each.strip("/") for each in self._definition.watched_directories] or [LOGS]:
            self._logs.follow_folder(folder, ready.work / folder)
        if ready.plan.uses_mpi:  # which process a rank is turns out later
            ending = await self._await_end()
            self._tell()
            return ending
        self._tell()
        return await self._await_end()

    def _tell(self) -> None:
        telling = tell_processes(self._connection, self._job.run, self._crew.members, self._attempt)
        self._telling = asyncio.create_task(telling, name="tell-processes")

    async def _await_end(self) -> Ending:
        if await self._orders.unless_given(self._ended()) is None:
            await self._crew.stop(self._grace_seconds(), self._orders.is_urgent)
            return endings.of_order(self._orders)
        return endings.of_crew(self._crew.members)

    async def _ended(self) -> bool:
        await self._crew.ended()
        if not self._crew.is_well:
            self._holding.tell_failure(endings.of_crew(self._crew.members))
        else:
            seconds = linger_seconds(self._variables)
            if not await self._crew.groups_ended(seconds):
                text = f"Processes that the program left behind were ended {seconds:g} s after it."
                await warn(self._connection, self._job.run, text)
        await self._crew.stop(self._grace_seconds(), self._orders.is_urgent)
        return True

    def _grace_seconds(self) -> float:
        if not self._definition.HasField("termination_grace"):
            return GRACE_SECONDS
        return self._definition.termination_grace.ToTimedelta().total_seconds()
