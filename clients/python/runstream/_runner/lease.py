"""What a runner says to the jobs service, all of it under its lease."""

import asyncio
import contextlib
import logging
import math
import time
from collections.abc import Callable
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from runstream._channel import Connection
from runstream._runner.access import Access
from runstream._runner.causes import SETTLING_SECONDS, SPREAD_SECONDS, failures_of, first_cause
from runstream._runner.folder import Ending
from runstream._runner.job import JobToRun
from runstream._runner.nodes import this_node
from runstream._runner.patience import call_patiently, is_final
from runstream.api.jobs.v1.job_service_pb2 import (
    ClaimJobRequest,
    ClaimJobResponse,
    RenewLeaseRequest,
    ReportJobRequest,
)
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.api.runs.v1.run_pb2 import RunError, RunStatus
from runstream.exceptions import AzureMLException

RENEWALS: Final = 3
"""Within the duration of the lease."""
RETRY_SECONDS: Final = 5.0
"""Between attempts to renew a lease that fail."""
LATE_SECONDS: Final = 5.0
"""How old an end is that is told with its time."""

_logger = logging.getLogger(__name__)


class Lost(Exception):
    """The job is not this runner's, or not any more."""


class Lease:
    """The hold of a runner on its job."""

    def __init__(self, job: JobToRun, connection: Connection, access: Access, number: int = 0) -> None:
        self._job = job
        self._connection = connection
        self._access = access
        self.number = number
        self._attempt = 1
        self._seconds = 60.0
        self._is_bounded = False
        self._reports: asyncio.Queue[RunStatus.ValueType] = asyncio.Queue()
        self._renewed_time = time.monotonic()

    async def claim(self) -> ClaimJobResponse:
        """Makes the job this runner's.

        Raises:
            Lost: It is somebody else's, or over.
        """
        request = ClaimJobRequest(run=self._job.run, holder=self._job.holder, lease=self._job.lease)
        had_it, claim = bool(self.number), self._connection.jobs.ClaimJob
        try:
            claimed = await call_patiently(self._connection, claim, request, waits_for_token=had_it)
        except AzureMLException as error:
            raise Lost(error.message) from error
        self.number, self._attempt = claimed.lease, max(claimed.job.attempt, 1)
        self._seconds = claimed.lease_duration.ToTimedelta().total_seconds() or self._seconds
        self._is_bounded = claimed.job.definition.max_attempts > 1
        self._renewed_time = time.monotonic()
        self._access.take(claimed.run_token)
        return claimed

    async def renew(self, hear: Callable[["RunStatus.ValueType", bool], None]) -> None:
        """Renews the lease for ever; what the run's status is, and whether it is to be cancelled, goes to `hear`.

        Raises:
            Lost: The lease does not count any more, or could not be renewed in time where somebody else would get it.
        """
        pause = min(self._seconds / RENEWALS, self._access.renewal_seconds)
        while True:
            await asyncio.sleep(min(pause, self._left()))
            asked_time = time.monotonic()
            try:
                async with asyncio.timeout(self._seconds / RENEWALS):
                    answer = await self._connection.call(self._connection.jobs.RenewLease, self._renewal())
            except (AzureMLException, TimeoutError) as error:
                self._check(error)
                pause = min(self._seconds / RENEWALS, RETRY_SECONDS)
            else:
                self._renewed_time = asked_time
                self._access.take(answer.run_token)
                pause = min(self._seconds / RENEWALS, self._access.renewal_seconds)
                hear(answer.status, answer.cancel_requested)

    def _renewal(self) -> RenewLeaseRequest:
        expire_time = self._access.expire_time
        return RenewLeaseRequest(run=self._job.run, lease=self.number, run_token_expire_time=expire_time)

    def report(self, status: "RunStatus.ValueType") -> None:
        """Says how far the job is, as soon as `send_reports` gets through."""
        self._reports.put_nowait(status)

    async def send_reports(self) -> None:
        """Sends what is reported, in order, for ever.

        Raises:
            Lost: The lease does not count any more.
        """
        while True:
            status = await self._reports.get()
            request = ReportJobRequest(run=self._job.run, lease=self.number, status=status)
            try:
                await call_patiently(self._connection, self._connection.jobs.ReportJob, request)
            except AzureMLException as error:
                if error.reason != "INVALID_STATUS_CHANGE":  # it was cancelled meanwhile, which the watch tells
                    raise Lost(error.message) from error

    def tell_failure(self, ending: Ending) -> None:
        """Says nothing: the end does."""

    async def cause_of(self, ending: Ending) -> Ending:
        """The end by the first failure on any node, where there are several; others have a moment to say so."""
        if this_node().count == 1 or ending.status != "FAILED":
            return ending
        patience = SETTLING_SECONDS + SPREAD_SECONDS * this_node().count
        await asyncio.sleep(max(ending.time_ns / 1e9 + patience - time.time(), 0))
        request = GetRunRequest(name=self._job.run)
        try:
            found = await call_patiently(self._connection, self._connection.runs.GetRun, request)
        except AzureMLException:
            return ending
        return first_cause(ending, failures_of(found.run.properties, self._attempt))

    async def end(self, ending: Ending) -> None:
        """Reports the end, however long the services are away. Where it is not wanted any more nothing happens."""
        request = ReportJobRequest(run=self._job.run, lease=self.number, reason=ending.reason)
        request.status = RunStatus.Value(f"RUN_STATUS_{ending.status}")
        if ending.status == "FAILED":
            request.error.CopyFrom(_error(ending))
        if time.time_ns() - ending.time_ns > LATE_SECONDS * 1e9:
            request.time.CopyFrom(_timestamp(ending.time_ns))
        with contextlib.suppress(Lost):
            await self._send_end(request)

    async def _send_end(self, request: ReportJobRequest, *, tries_again: bool = True) -> None:
        try:
            await call_patiently(self._connection, self._connection.jobs.ReportJob, request)
        except AzureMLException as error:
            if error.reason == "INVALID_STATUS_CHANGE" and tries_again:
                await self._tell_that_it_ran()
                return await self._send_end(request, tries_again=False)
            _logger.warning("the end of %s is not recorded: %s", self._job.run, error.message)
            raise Lost(error.message) from error
        return None

    async def _tell_that_it_ran(self) -> None:
        """Reports that the job ran: the report of it is still on its way, or was lost with a killed runner."""
        request = ReportJobRequest(run=self._job.run, lease=self.number, status=RunStatus.RUN_STATUS_RUNNING)
        with contextlib.suppress(AzureMLException):  # the end, which comes next, is refused for the same reason
            await call_patiently(self._connection, self._connection.jobs.ReportJob, request)

    def _left(self) -> float:
        """How many seconds the lease counts without being renewed; without an end where nobody else would get it."""
        passed = time.monotonic() - self._renewed_time
        return max(self._seconds - passed, 0.0) if self._is_bounded else math.inf

    def _check(self, error: Exception) -> None:
        if isinstance(error, AzureMLException) and is_final(error):
            raise Lost(error.message) from error
        if not self._left():
            raise Lost("the services were away for longer than the lease counts") from error


def _error(ending: Ending) -> RunError:
    return RunError(
        code=ending.code,
        message=ending.message,
        exception_type=ending.exception_type,
        stack_trace=ending.stack_trace,
    )


def _timestamp(time_ns: int) -> Timestamp:
    stamp = Timestamp()
    stamp.FromNanoseconds(time_ns)
    return stamp
