"""What the parts of a runner know of its hold on the job."""

import asyncio
from collections.abc import Callable
from typing import Protocol

from runstream._channel import Connection
from runstream._runner.folder import Ending
from runstream._runner.job import JobToRun
from runstream._runner.lease import Lost
from runstream._runner.patience import call_patiently
from runstream.api.jobs.v1.job_service_pb2 import ClaimJobResponse, GetJobRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.api.runs.v1.run_pb2 import RunStatus
from runstream.exceptions import AzureMLException


class Holding(Protocol):
    """A job that is executed here."""

    async def claim(self) -> ClaimJobResponse:
        """Begins to have part in the job.

        Raises:
            Lost: That cannot be.
        """

    async def renew(self, hear: Callable[["RunStatus.ValueType", bool], None]) -> None:
        """Goes on to have part in it, for ever.

        Raises:
            Lost: That is over.
        """

    def report(self, status: "RunStatus.ValueType") -> None:
        """Says how far the job is."""

    async def send_reports(self) -> None:
        """Sends what is reported, for ever."""

    async def end(self, ending: Ending) -> None:
        """Reports the end."""


class Following:
    """A job that another node has: this one executes its part, and says nothing about the whole."""

    def __init__(self, job: JobToRun, connection: Connection) -> None:
        self._job = job
        self._connection = connection

    async def claim(self) -> ClaimJobResponse:
        """The job as it is.

        Raises:
            Lost: There is none.
        """
        jobs, runs = self._connection.jobs, self._connection.runs
        try:
            found = await call_patiently(self._connection, jobs.GetJob, GetJobRequest(run=self._job.run))
            run = await call_patiently(self._connection, runs.GetRun, GetRunRequest(name=self._job.run))
        except AzureMLException as error:
            raise Lost(error.message) from error
        return ClaimJobResponse(job=found.job, run=run.run)

    async def renew(self, hear: Callable[["RunStatus.ValueType", bool], None]) -> None:
        """Waits for ever: the watch tells."""
        await asyncio.Event().wait()

    def report(self, status: "RunStatus.ValueType") -> None:
        """Says nothing."""

    async def send_reports(self) -> None:
        """Waits for ever."""
        await asyncio.Event().wait()

    async def end(self, ending: Ending) -> None:
        """Says nothing."""
