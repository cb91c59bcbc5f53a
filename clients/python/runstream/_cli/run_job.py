"""What the document of a run tells of its job."""

from runstream._cli.documents import Document, time_of
from runstream._cli.run_document import run_document
from runstream._cli.session import Session
from runstream.api.jobs.v1.job_pb2 import JOB_STATE_QUEUED, Job
from runstream.api.runs.v1.run_pb2 import Run
from runstream.core._submission.job import read_job


def document_with_job(session: Session, run: Run) -> Document:
    """The document of a run; of a submitted one with what is executed and, while it is queued, why it waits."""
    document = run_document(run)
    job = session.services.run(lambda connection: read_job(connection, run))
    if job is not None:
        from runstream.core._job.run_definition import run_definition

        document["run_definition"] = run_definition(job)
        document["queueing_info"] = _queueing_info(job)
    return document


def _queueing_info(job: Job) -> Document | None:
    if job.state != JOB_STATE_QUEUED:
        return None
    message = job.queueing_message or None
    return {"code": None, "message": message, "last_refresh_timestamp": time_of(job, "queueing_time")}
