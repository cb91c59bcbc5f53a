"""The methods about jobs."""

from google.protobuf.duration_pb2 import Duration

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.jobs.convert.definitions import environment_name
from runstream_server.jobs.convert.jobs import (
    decode_claim,
    decode_renewal,
    decode_report,
    decode_submission,
    encode_job,
    encode_run_token,
)
from runstream_server.jobs.convert.times import encode_duration
from runstream_server.jobs.servicer.base import Context, Methods
from runstream_server.names import RunName, WorkspaceName
from runstream_server.runhistory import ManagedRun


class JobMethods(Methods):
    """The methods about jobs."""

    async def SubmitRun(self, request: messages.SubmitRunRequest, context: Context) -> messages.SubmitRunResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        named = environment_name(request.definition, workspace.workspace)
        decode_submission(request, workspace, None)  # whatever else is wrong is told first
        environment = await self._rules.environments.get(named) if named else None
        submission = decode_submission(request, workspace, environment)
        run, job = await self._rules.submissions.submit(submission)
        return messages.SubmitRunResponse(run=_run(run), job=encode_job(job))

    async def GetJob(self, request: messages.GetJobRequest, context: Context) -> messages.GetJobResponse:
        job, message, time = await self._rules.submissions.get(RunName.parse(request.run, "run"))
        return messages.GetJobResponse(job=encode_job(job, message, time))

    async def ClaimJob(self, request: messages.ClaimJobRequest, context: Context) -> messages.ClaimJobResponse:
        offered, holder = decode_claim(request)
        job, run = await self._rules.leases.claim(offered.name, holder, offered.lease)
        token = await self._rules.run_tokens.make(offered.name)
        return messages.ClaimJobResponse(
            job=encode_job(job),
            lease=job.lease,
            lease_duration=self._lease_duration(),
            run=_run(run),
            run_token=encode_run_token(token),
        )

    def _lease_duration(self) -> Duration:
        return encode_duration(self._rules.leases.duration)

    async def RenewLease(self, request: messages.RenewLeaseRequest, context: Context) -> messages.RenewLeaseResponse:
        held, expire_time = decode_renewal(request)
        status, cancel_requested = await self._rules.leases.renew(held)
        token = await self._rules.run_tokens.renew(held.name, expire_time)
        return messages.RenewLeaseResponse(
            status=run_pb2.RunStatus.Value(f"RUN_STATUS_{status}"),
            cancel_requested=cancel_requested,
            run_token=encode_run_token(token),
        )

    async def RefreshRunToken(
        self, request: messages.RefreshRunTokenRequest, context: Context
    ) -> messages.RefreshRunTokenResponse:
        name = RunName.parse(request.run, "run")
        await self._rules.leases.check_open(name)
        return messages.RefreshRunTokenResponse(run_token=encode_run_token(await self._rules.run_tokens.make(name)))

    async def ReportJob(self, request: messages.ReportJobRequest, context: Context) -> messages.ReportJobResponse:
        held, entry, is_last = decode_report(request)
        run = await self._rules.leases.report(held, entry, is_last=is_last)
        return messages.ReportJobResponse(run=_run(run))


def _run(run: ManagedRun) -> run_pb2.Run:
    return run_pb2.Run.FromString(run.message)
