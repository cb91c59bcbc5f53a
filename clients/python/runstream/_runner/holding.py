"""What the parts of a runner know of its hold on the job."""

import asyncio
import contextlib
import random
from collections.abc import Callable
from typing import Protocol

from runstream._channel import Connection
from runstream._runner.access import Access
from runstream._runner.causes import SPREAD_SECONDS, failure_property, failures_of, is_worth_telling
from runstream._runner.folder import Ending
from runstream._runner.job import JobToRun
from runstream._runner.lease import Lost
from runstream._runner.nodes import this_node
from runstream._runner.patience import call_patiently
from runstream.api.jobs.v1.job_service_pb2 import ClaimJobResponse, GetJobRequest, RefreshRunTokenRequest
from runstream.api.runs.v1.run_history_service_pb2 import AddPropertiesRequest, GetRunRequest
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

    def tell_failure(self, ending: Ending) -> None:
        """Says that the part of the job on this node has failed, before everything of it has ended."""

    async def cause_of(self, ending: Ending) -> Ending:
        """The end of the whole job, given that of the part on this node."""

    async def send_reports(self) -> None:
        """Sends what is reported, for ever."""

    async def end(self, ending: Ending) -> None:
        """Reports the end."""


class Following:
    """A job that another node has: this one executes its part, and says nothing about the whole."""

    def __init__(self, job: JobToRun, connection: Connection, access: Access) -> None:
        self._job = job
        self._connection = connection
        self._access = access
        self._attempt = 1
        self._failures: asyncio.Queue[Ending] = asyncio.Queue()
        self._has_failed = False

    async def claim(self) -> ClaimJobResponse:
        """The job as it is.

        Raises:
            Lost: There is none.
        """
        jobs, runs = self._connection.jobs, self._connection.runs
        try:
            found = await call_patiently(self._connection, jobs.GetJob, GetJobRequest(run=self._job.run))
            run = await call_patiently(self._connection, runs.GetRun, GetRunRequest(name=self._job.run))
            await self._refresh()
        except AzureMLException as error:
            raise Lost(error.message) from error
        self._attempt = max(found.job.attempt, 1)
        return ClaimJobResponse(job=found.job, run=run.run)

    async def renew(self, hear: Callable[["RunStatus.ValueType", bool], None]) -> None:
        """Renews the run token, for ever; the rest is told by the watch."""
        while True:
            await asyncio.sleep(self._access.renewal_seconds)
            with contextlib.suppress(AzureMLException):  # the watch tells of a job that has ended
                await self._refresh()

    async def _refresh(self) -> None:
        jobs = self._connection.jobs
        request = RefreshRunTokenRequest(run=self._job.run)
        self._access.take((await call_patiently(self._connection, jobs.RefreshRunToken, request)).run_token)

    def report(self, status: "RunStatus.ValueType") -> None:
        """Says nothing."""

    def tell_failure(self, ending: Ending) -> None:
        """Says what failed here, as soon as `send_reports` gets through; the first time counts."""
        if not self._has_failed:
            self._has_failed = True
            self._failures.put_nowait(ending)

    async def cause_of(self, ending: Ending) -> Ending:
        """The end of this part: it is the first node that ends the whole."""
        return ending

    async def send_reports(self) -> None:
        """Sends what is told, for ever."""
        while True:
            failure = await self._failures.get()
            with contextlib.suppress(AzureMLException):  # an earlier runner of this node has said so already
                await self._tell(failure)
            self._failures.task_done()

    async def _tell(self, failure: Ending) -> None:
        await asyncio.sleep(random.uniform(0, SPREAD_SECONDS * this_node().count))
        runs, name = self._connection.runs, self._job.run
        found = await call_patiently(self._connection, runs.GetRun, GetRunRequest(name=name))
        if is_worth_telling(failure, failures_of(found.run.properties, self._attempt)):
            told = failure_property(failure, self._attempt, this_node().index)
            request = AddPropertiesRequest(name=name, properties=told)
            await call_patiently(self._connection, runs.AddProperties, request)

    async def end(self, ending: Ending) -> None:
        """Returns when it was said what failed here."""
        await self._failures.join()
