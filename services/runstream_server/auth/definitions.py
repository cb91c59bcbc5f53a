"""Asks the job service what runs execute."""

from typing import TYPE_CHECKING

import grpc

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceStub
from runstream_server.errors import Unavailable
from runstream_server.names import RunName, SnapshotName

if TYPE_CHECKING:
    from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub

_CALL_SECONDS = 10.0


class JobsUnavailable(Unavailable):
    """The job service does not answer."""

    reason = "JOBS_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the job service does not answer; call again")


class Definitions:
    """Asks the job service."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: JobServiceAsyncStub = JobServiceStub(channel)  # type: ignore[assignment]

    async def snapshot(self, run: RunName) -> SnapshotName | None:
        """Returns the snapshot that a submitted run executes; None if it is none, or executes none.

        Raises:
            JobsUnavailable: The job service does not answer.
        """
        try:
            request = messages.GetJobRequest(run=str(run))
            response = await self._stub.GetJob(request, timeout=_CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise JobsUnavailable from error
        snapshot = response.job.definition.snapshot
        return SnapshotName.parse(snapshot) if snapshot else None
