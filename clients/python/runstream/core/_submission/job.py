"""The job of a submitted run."""

from typing import TYPE_CHECKING

from runstream._channel import Connection
from runstream.api.runs.v1 import run_pb2
from runstream.exceptions import ServiceException

if TYPE_CHECKING:
    from runstream.api.jobs.v1.job_pb2 import Job


async def read_job(connection: Connection, run: run_pb2.Run) -> "Job | None":
    """The job of a run; None: it was not submitted."""
    if not run.service_managed:
        return None
    from runstream.api.jobs.v1.job_service_pb2 import GetJobRequest

    try:
        return (await connection.call(connection.jobs.GetJob, GetJobRequest(run=run.name))).job
    except ServiceException as error:
        if error.status_code != 404:
            raise
        return None
