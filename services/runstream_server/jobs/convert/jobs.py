"""Jobs between messages and the words of jobs."""

import uuid
from datetime import datetime

from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.auth import RunToken
from runstream_server.errors import InvalidField
from runstream_server.jobs import limits
from runstream_server.jobs.convert.definitions import decode_spec
from runstream_server.jobs.convert.times import decode_told_time, encode_time
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import Environment, HeldJob, Job, JobState, Submission
from runstream_server.names import ComputeTargetName, RunName, WorkspaceName, check_run_id
from runstream_server.runhistory import Failure, StatusEntry

_STATES = {
    JobState.SUBMITTING: job_pb2.JOB_STATE_QUEUED,
    JobState.QUEUED: job_pb2.JOB_STATE_QUEUED,
    JobState.OFFERED: job_pb2.JOB_STATE_QUEUED,
    JobState.REQUEUEING: job_pb2.JOB_STATE_QUEUED,
    JobState.HELD: job_pb2.JOB_STATE_HELD,
    JobState.ENDED: job_pb2.JOB_STATE_ENDED,
}
_TERMINAL = {
    run_pb2.RUN_STATUS_COMPLETED: "COMPLETED",
    run_pb2.RUN_STATUS_FAILED: "FAILED",
    run_pb2.RUN_STATUS_CANCELED: "CANCELED",
}
_REPORTED = {
    run_pb2.RUN_STATUS_PREPARING: "PREPARING",
    run_pb2.RUN_STATUS_RUNNING: "RUNNING",
    run_pb2.RUN_STATUS_FINALIZING: "FINALIZING",
} | _TERMINAL


def decode_submission(
    request: messages.SubmitRunRequest, workspace: WorkspaceName, environment: Environment | None
) -> Submission:
    """A run to submit, with the registered environment that it names."""
    target = ComputeTargetName.parse(request.compute_target, "compute_target")
    if target.workspace != workspace.workspace:
        raise InvalidField("compute_target", f"{target} is not of {workspace}")
    run_id = check_run_id(request.run_id, "run_id") if request.run_id else str(uuid.uuid4())
    checks = Checks()
    submission = Submission(
        name=RunName(workspace.workspace, run_id),
        target=target,
        request_id=checks.request_id("request_id", request.request_id),
        run=_run(request, target),
        spec=decode_spec(checks, request.definition, workspace.workspace, environment),
    )
    checks.done()
    return submission


def _run(request: messages.SubmitRunRequest, target: ComputeTargetName) -> bytes:
    run = run_pb2.Run()
    run.CopyFrom(request.run)
    run.service_managed = run.heartbeat_enabled = True
    run.target, run.script_name = target.compute_target, request.definition.script
    return run.SerializeToString()


def encode_job(job: Job, queueing_message: str = "", queueing_time: datetime | None = None) -> job_pb2.Job:
    """Makes the message of a job."""
    has_holder = job.state in (JobState.OFFERED, JobState.HELD)
    return job_pb2.Job(
        run=str(job.name),
        compute_target=str(job.target),
        definition=job_pb2.JobDefinition.FromString(job.definition),
        state=_state(job),
        attempt=job.attempt,
        holder=(job.agent or job.runner) if has_holder else "",
        create_time=encode_time(job.create_time),
        queueing_message=queueing_message,
        queueing_time=encode_time(queueing_time),
    )


def _state(job: Job) -> "job_pb2.JobState.ValueType":
    if job.state is JobState.ENDING:  # its run has not ended yet
        return job_pb2.JOB_STATE_HELD if job.runner else job_pb2.JOB_STATE_QUEUED
    return _STATES[job.state]


def decode_held(run: str, lease: int, field: str = "run") -> HeldJob:
    """A job of which a caller believes to be the holder."""
    return HeldJob(RunName.parse(run, field), lease)


def encode_run_token(token: RunToken | None) -> job_pb2.RunToken | None:
    """A run token for a runner; None for none, which leaves a field absent."""
    if token is None:
        return None
    return job_pb2.RunToken(secret=token.secret, expire_time=encode_time(token.expire_time))


def decode_renewal(request: messages.RenewLeaseRequest) -> tuple[HeldJob, datetime | None]:
    """A job of which a runner believes to be the holder, and when its run token expires; None: it has none."""
    held, checks = decode_held(request.run, request.lease), Checks()
    expire_time = decode_told_time(checks, request, "run_token_expire_time")
    checks.done()
    return held, expire_time


def decode_claim(request: messages.ClaimJobRequest) -> tuple[HeldJob, str]:
    """The job to claim, with the lease of the offer, and who claims it."""
    held, checks = decode_held(request.run, request.lease), Checks()
    checks.filled("holder", request.holder, limits.HOLDER)
    if request.lease < 0:
        checks.fail("lease", "expected the lease of the offer, or 0 where there was none")
    checks.done()
    return held, request.holder


def decode_report(request: messages.ReportJobRequest) -> tuple[HeldJob, StatusEntry, bool]:
    """Who reports, the status to enter, and whether it is the last one."""
    held, checks = decode_held(request.run, request.lease), Checks()
    status = _REPORTED.get(request.status)
    if status is None:
        checks.fail("status", f"expected one of {', '.join(_REPORTED.values())}")
    entry = StatusEntry(
        status=status or "",
        reason=checks.text("reason", request.reason, limits.REASON),
        failure=_failure(checks, request),
        time=decode_told_time(checks, request, "time"),
    )
    checks.done()
    return held, entry, request.status in _TERMINAL


def _failure(checks: Checks, request: messages.ReportJobRequest) -> Failure | None:
    if not request.HasField("error"):
        return None
    if request.status != run_pb2.RUN_STATUS_FAILED:
        checks.fail("error", "only a run that failed has an error")
    error = request.error
    return Failure(
        code=checks.text("error.code", error.code, limits.ERROR_CODE) or "UserError",
        message=_storable(error.message)[: limits.ERROR_TEXT],
        exception_type=checks.text("error.exception_type", error.exception_type, limits.ERROR_CODE),
        stack_trace=_storable(error.stack_trace),
    )


def _storable(text: str) -> str:
    """Text of a program that must not fail to be recorded: NUL, which cannot be stored, becomes its picture."""
    return text.replace("\0", "\N{SYMBOL FOR NULL}")
