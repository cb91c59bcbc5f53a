"""One execution of a job, from its files to the ends of its processes."""

import asyncio
import logging
import socket
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from runstream._channel import Connection
from runstream._runner import endings, finish
from runstream._runner.children import Children
from runstream._runner.console import BuildLog
from runstream._runner.crew import Crew, linger_seconds
from runstream._runner.environments.choosing import python_for
from runstream._runner.environments.specification import ENVIRONMENT_ERROR
from runstream._runner.failures import JobFailed
from runstream._runner.folder import Ending
from runstream._runner.job import JobToRun
from runstream._runner.lease import Lease
from runstream._runner.output import JobLogs, log_names
from runstream._runner.plan import PlannedProcess
from runstream._runner.prepare import fill
from runstream._runner.script import Python, command_of
from runstream._runner.variables import OUTPUTS, job_variables
from runstream._runner.watch import Orders
from runstream.api.jobs.v1.job_service_pb2 import ClaimJobResponse
from runstream.api.runs.v1 import run_history_service_pb2 as runs_api
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_PREPARING, RUN_STATUS_RUNNING, RunWarning
from runstream.exceptions import AzureMLException

GRACE_SECONDS: Final = 30.0
LOGS: Final = "logs"
WARNINGS: Final = "runner"

_logger = logging.getLogger(__name__)


class Execution:
    """Executes a job that is claimed."""

    def __init__(
        self,
        job: JobToRun,
        claimed: ClaimJobResponse,
        connection: Connection,
        children: Children,
        orders: Orders,
        lease: Lease,
    ) -> None:
        self._job = job
        self._definition = claimed.job.definition
        self._attempt = max(claimed.job.attempt, 1)
        self._connection = connection
        self._children = children
        self._orders = orders
        self._lease = lease
        self._variables = job_variables(job, claimed.run.experiment_display_name, self._definition)
        self._crew: Crew | None = None
        self._telling: asyncio.Task[None] | None = None

    async def run(self, work: Path, logs: JobLogs) -> Ending:
        """Executes the job until its processes have ended; how.

        Raises:
            JobFailed: It cannot be executed.
        """
        crew = self._crew = Crew(self._children, logs)
        self._lease.report(RUN_STATUS_PREPARING)
        async with AsyncExitStack() as kept:
            try:
                python = await self._orders.unless_given(self._prepare(work, logs, kept))
            finally:
                await crew.stop(0, self._orders.is_urgent)
            if python is None:
                return endings.of_order(self._orders)
            self._start(python, work, logs)
            self._telling = asyncio.create_task(self._tell_processes(), name="tell-processes")
            return await self._await_end(crew)

    async def told(self) -> None:
        """Returns when it is stored who the processes were."""
        if self._telling is not None:
            await self._telling

    def statuses(self) -> list[dict[str, Any]]:
        """What became of the processes."""
        return [member.status() for member in self._crew.members] if self._crew else []

    async def _prepare(self, work: Path, logs: JobLogs, kept: AsyncExitStack) -> Python:
        """Makes the working directory and finds or makes the environment, which stays as long as `kept` is open."""
        await self._fill(work)
        console = BuildLog(self._children, logs, work.parent, self._variables, self._attempt)
        kept.callback(console.close)
        wanted = self._definition.environment.definition.python
        try:
            return await kept.enter_async_context(python_for(wanted, work, self._variables, console))
        except OSError as error:
            raise JobFailed(ENVIRONMENT_ERROR, f"The environment could not be made: {error}") from error

    async def _fill(self, work: Path) -> None:
        try:
            await fill(self._connection, self._definition.snapshot, work)
            for folder in (OUTPUTS, LOGS):
                (work / folder).mkdir(exist_ok=True)
        except AzureMLException as error:
            raise JobFailed("SnapshotError", f"The files of the run could not be prepared: {error.message}") from error
        except OSError as error:
            raise JobFailed("SnapshotError", f"The files of the run could not be written: {error}") from error

    def _start(self, python: Python, work: Path, logs: JobLogs) -> None:
        """Starts the processes.

        Raises:
            JobFailed: One cannot be started.
        """
        assert self._crew is not None
        command = command_of(self._definition, python, work)
        (log,) = log_names(1, self._attempt)
        variables = python.extend(self._variables)
        try:
            self._crew.start([PlannedProcess("process 0", log, command)], work, variables)
        except OSError as error:
            raise JobFailed("UserError", f"{command[0]} cannot be started: {error.strerror}.") from error
        _logger.info("%s: started", self._job.run)
        self._lease.report(RUN_STATUS_RUNNING)
        for folder in self._definition.watched_directories or [LOGS]:
            logs.follow_folder(folder.strip("/"), work / folder)

    async def _await_end(self, crew: Crew) -> Ending:
        if await self._orders.unless_given(self._ended(crew)) is None:
            await crew.stop(self._grace_seconds(), self._orders.is_urgent)
            return endings.of_order(self._orders)
        return endings.of_crew(crew.members)

    async def _ended(self, crew: Crew) -> bool:
        await crew.ended()
        if all(member.code == 0 for member in crew.members):
            seconds = linger_seconds(self._variables)
            if not await crew.groups_ended(seconds):
                await self._warn(f"Processes that the program left behind were ended {seconds:g} s after it.")
        await crew.stop(self._grace_seconds(), self._orders.is_urgent)
        return True

    async def _tell_processes(self) -> None:
        """Stores who the processes are, and that this can be read."""
        assert self._crew is not None
        host = socket.gethostname()
        document = [
            {
                "name": member.planned.name,
                "node": host,
                "pid": member.child.pid,
                "address": host,
                "log": f"user_logs/{member.planned.log}",
            }
            for member in self._crew.members
        ]
        name = finish.of_attempt(finish.INFO_FILE, self._attempt)
        await finish.store_statuses(self._connection, self._job, name, document)
        if self._attempt == 1:
            properties = {"ProcessInfoFile": finish.INFO_FILE, "ProcessStatusFile": finish.STATUS_FILE}
            request = runs_api.AddPropertiesRequest(name=self._job.run, properties=properties)
            await _try(self._connection.call(self._connection.runs.AddProperties, request))

    async def _warn(self, message: str) -> None:
        warning = RunWarning(source=WARNINGS, message=message)
        request = runs_api.AddWarningsRequest(name=self._job.run, warnings=[warning])
        await _try(self._connection.call(self._connection.runs.AddWarnings, request))

    def _grace_seconds(self) -> float:
        if not self._definition.HasField("termination_grace"):
            return GRACE_SECONDS
        return self._definition.termination_grace.ToTimedelta().total_seconds()


async def _try(call: Coroutine[Any, Any, object]) -> None:
    try:
        await call
    except AzureMLException:
        return
