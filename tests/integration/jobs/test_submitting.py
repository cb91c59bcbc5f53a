"""Submitting runs, and speaking for their runners."""

import asyncio
import uuid
from collections.abc import Sequence
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.jobs.v1 import environment_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2
from tests import stubs
from tests.append_clients import failure_of
from tests.make_runs import WORKSPACE
from tests.submitted import SCRIPT, S, Submitter

CODE = grpc.StatusCode


async def test_a_submitted_run_waits_for_its_runner(submitter: Submitter) -> None:
    run = run_pb2.Run(experiment=submitter.experiment, run_type="azureml.scriptrun", display_name="first")

    submitted = await submitter.submit(run=run, run_id="run1")

    made = await submitter.run(submitted.run.name)
    assert made.name == f"{WORKSPACE}/runs/run1"
    assert (made.status, made.service_managed, made.heartbeat_enabled) == (S.RUN_STATUS_STARTING, True, True)
    assert (made.target, made.script_name, made.run_type) == ("local", "train.py", "azureml.scriptrun")
    job = await submitter.job(made.name)
    assert (job.state, job.attempt, job.holder) == (job_pb2.JOB_STATE_QUEUED, 1, "")
    assert job.queueing_message == "waits for the runner that the submitting program starts on its machine"
    assert job.definition == submitted.job.definition
    assert job.definition.watched_directories == ["logs"]
    assert job.definition.termination_grace.seconds == 30


async def test_a_repeated_request_gets_the_same_run_as_it_is_now(submitter: Submitter) -> None:
    request = submitter.request()
    first = await submitter.stub.SubmitRun(request)
    await submitter.claim(first.run.name)

    again = await asyncio.gather(*(submitter.stub.SubmitRun(request) for _ in range(5)))

    assert {(each.run.name, each.job.state) for each in again} == {(first.run.name, job_pb2.JOB_STATE_HELD)}


async def test_many_at_once_with_one_request_id_make_one_run(submitter: Submitter) -> None:
    request = submitter.request()

    made = await asyncio.gather(*(submitter.stub.SubmitRun(request) for _ in range(10)))

    listed = await stubs.run_history(submitter.channel).ListRuns(runs.ListRunsRequest(parent=WORKSPACE))
    assert {each.run.name for each in made} == {run.name for run in listed.runs}
    assert len(listed.runs) == 1


async def test_a_runner_takes_a_run_from_claim_to_end(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name

    claimed = await submitter.claim(name)
    again = await submitter.claim(name)
    statuses = [S.RUN_STATUS_PREPARING, S.RUN_STATUS_RUNNING, S.RUN_STATUS_FINALIZING, S.RUN_STATUS_COMPLETED]
    for status in statuses:
        reported = await submitter.report(name, claimed.lease, status, reason="as it went")
        assert (await submitter.report(name, claimed.lease, status)).status == reported.status == status
    late = await submitter.report(name, claimed.lease, S.RUN_STATUS_FAILED)

    assert (claimed.lease, again.lease, claimed.lease_duration.seconds) == (1, 1, 60)
    assert (claimed.job.holder, claimed.run.status) == ("runner", S.RUN_STATUS_STARTING)
    assert late.status == S.RUN_STATUS_COMPLETED
    run = await submitter.run(name)
    entered = [change.status for change in run.status_history]
    assert entered == [S.RUN_STATUS_NOT_STARTED, S.RUN_STATUS_STARTING, *statuses]
    assert {change.reason for change in run.status_history[2:]} == {"as it went"}
    assert (await submitter.job(name)).state == job_pb2.JOB_STATE_ENDED


async def test_renewing_a_lease_is_a_heartbeat(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    lease = (await submitter.claim(name)).lease
    await submitter.report(name, lease, S.RUN_STATUS_RUNNING)

    renewed = await submitter.stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=lease))
    await submitter.cancel(name)
    cancelled = await submitter.stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=lease))
    await submitter.report(name, lease, S.RUN_STATUS_CANCELED)
    ended = await submitter.stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=lease))

    assert (renewed.status, renewed.cancel_requested) == (S.RUN_STATUS_RUNNING, False)
    assert (cancelled.status, cancelled.cancel_requested) == (S.RUN_STATUS_CANCELED, True)
    assert ended == cancelled


async def test_a_report_that_comes_late_tells_when_it_happened(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    lease = (await submitter.claim(name)).lease
    started = await submitter.report(name, lease, S.RUN_STATUS_RUNNING, time=Timestamp(seconds=1_000))

    ended = await submitter.report(name, lease, S.RUN_STATUS_COMPLETED, time=Timestamp(seconds=2_000))

    assert (started.start_time.seconds, ended.start_time.seconds, ended.end_time.seconds) == (1_000, 1_000, 2_000)


async def test_an_error_of_the_script_is_not_replaced(submitter: Submitter) -> None:
    errors = []
    for own in (True, False):
        name = (await submitter.submit()).run.name
        lease = (await submitter.claim(name)).lease
        await submitter.report(name, lease, S.RUN_STATUS_RUNNING)
        if own:
            changed = run_pb2.Run(name=name, error=run_pb2.RunError(code="Own", message="from the script"))
            request = runs.UpdateRunRequest(run=changed, update_mask=FieldMask(paths=["error"]))
            await stubs.run_history(submitter.channel).UpdateRun(request)
        error = run_pb2.RunError(code="ExitCode", message="1", exception_type="X", stack_trace="at a\nat b")
        ended = await submitter.report(name, lease, S.RUN_STATUS_FAILED, error=error)
        errors.append((ended.error.code, ended.error.message, ended.error.stack_trace))

    assert errors == [("Own", "from the script", ""), ("ExitCode", "1", "at a\nat b")]


async def test_a_job_has_one_runner(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    claims = [submitter.stub.ClaimJob(messages.ClaimJobRequest(run=name, holder=f"runner{n}")) for n in range(10)]
    codes = [await claim.code() for claim in claims]
    reasons = {
        (await failure_of(claim)).reason for claim, code in zip(claims, codes, strict=True) if code is not CODE.OK
    }

    assert codes.count(CODE.OK) == 1
    assert reasons == {"JOB_HELD"}


async def test_a_run_that_was_cancelled_is_not_claimed(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    await submitter.cancel(name)

    failure = await failure_of(submitter.stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="runner")))

    assert (failure.code, failure.reason) == (CODE.FAILED_PRECONDITION, "JOB_ENDED")
    assert (await submitter.run(name)).status == S.RUN_STATUS_CANCELED
    assert (await submitter.job(name)).state == job_pb2.JOB_STATE_ENDED


async def test_a_wrong_lease_changes_nothing(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    lease = (await submitter.claim(name)).lease
    stub, failed = submitter.stub, S.RUN_STATUS_FAILED

    failures = [
        await failure_of(stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=lease + 1))),
        await failure_of(stub.ReportJob(messages.ReportJobRequest(run=name, lease=lease + 1, status=failed))),
        await failure_of(stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="other", lease=lease + 1))),
    ]

    assert {(each.code, each.reason) for each in failures} == {(CODE.ABORTED, "LEASE_LOST")}
    assert (await submitter.run(name)).status == S.RUN_STATUS_STARTING


async def test_a_status_that_cannot_follow_is_refused_and_the_runner_goes_on(submitter: Submitter) -> None:
    name = (await submitter.submit()).run.name
    lease = (await submitter.claim(name)).lease

    for status in (S.RUN_STATUS_FINALIZING, S.RUN_STATUS_COMPLETED):
        request = messages.ReportJobRequest(run=name, lease=lease, status=status)
        assert (await failure_of(submitter.stub.ReportJob(request))).reason == "INVALID_STATUS_CHANGE"

    assert (await submitter.report(name, lease, S.RUN_STATUS_RUNNING)).status == S.RUN_STATUS_RUNNING


async def test_what_was_not_submitted_has_no_job(submitter: Submitter) -> None:
    name, stub = f"{WORKSPACE}/runs/none", submitter.stub
    calls = [
        stub.GetJob(messages.GetJobRequest(run=name)),
        stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="runner")),
        stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=1)),
        stub.ReportJob(messages.ReportJobRequest(run=name, lease=1, status=S.RUN_STATUS_RUNNING)),
    ]

    assert {(await failure_of(call)).reason for call in calls} == {"JOB_NOT_FOUND"}


REFUSED: Sequence[tuple[dict[str, Any], Any, str]] = [
    ({"run": run_pb2.Run()}, CODE.INVALID_ARGUMENT, "INVALID_FIELD"),
    ({"run": run_pb2.Run(experiment=f"{WORKSPACE}/experiments/0")}, CODE.NOT_FOUND, "EXPERIMENT_NOT_FOUND"),
    ({"run": run_pb2.Run(parent=f"{WORKSPACE}/runs/none")}, CODE.NOT_FOUND, "RUN_NOT_FOUND"),
    ({"run_id": "taken"}, CODE.ALREADY_EXISTS, "RUN_EXISTS"),
    ({"compute_target": f"{WORKSPACE}/computeTargets/none"}, CODE.NOT_FOUND, "COMPUTE_TARGET_NOT_FOUND"),
    ({"compute_target": "workspaces/other/computeTargets/local"}, CODE.INVALID_ARGUMENT, "INVALID_FIELD"),
    ({"request_id": ""}, CODE.INVALID_ARGUMENT, "INVALID_FIELD"),
    (
        {
            "parent": "workspaces/none",
            "compute_target": "workspaces/none/computeTargets/local",
            "run": run_pb2.Run(experiment="workspaces/none/experiments/0"),
        },
        CODE.NOT_FOUND,
        "WORKSPACE_NOT_FOUND",
    ),
]


async def test_what_is_refused_leaves_no_job(submitter: Submitter) -> None:
    await submitter.submit(run_id="taken")
    for of_request, code, reason in REFUSED:
        request = submitter.request(**{"run_id": "refused"} | of_request)

        failure = await failure_of(submitter.stub.SubmitRun(request))

        assert (failure.code, failure.reason) == (code, reason)
        left = submitter.stub.GetJob(messages.GetJobRequest(run=f"{WORKSPACE}/runs/refused"))
        assert (await failure_of(left)).reason == "JOB_NOT_FOUND"


async def test_a_run_that_was_not_submitted_keeps_its_id(submitter: Submitter) -> None:
    request = runs.CreateRunRequest(parent=WORKSPACE, run=run_pb2.Run(experiment=submitter.experiment), run_id="own")
    await stubs.run_history(submitter.channel).CreateRun(request)

    refused = submitter.stub.SubmitRun(submitter.request(run_id="own"))

    assert (await failure_of(refused)).reason == "RUN_EXISTS"


async def test_a_named_environment_is_resolved(submitter: Submitter) -> None:
    registered = []
    for package in ("a", "b"):
        python = environment_pb2.PythonDefinition(conda_specification=f"dependencies: [{package}]")
        definition = environment_pb2.EnvironmentDefinition(display_name="mine", python=python)
        request = messages.RegisterEnvironmentRequest(parent=WORKSPACE, environment_id="mine", definition=definition)
        registered.append((await submitter.stub.RegisterEnvironment(request)).environment)
    named = [environment_pb2.Environment(name=name) for name in (registered[0].name, f"{WORKSPACE}/environments/mine")]

    jobs = [await submitter.submit(job_pb2.JobDefinition(script="a.py", environment=each)) for each in named]
    missing = environment_pb2.Environment(name=f"{WORKSPACE}/environments/mine/versions/3")
    refused = submitter.stub.SubmitRun(submitter.request(job_pb2.JobDefinition(script="a.py", environment=missing)))

    assert [each.job.definition.environment for each in jobs] == registered
    assert (await failure_of(refused)).reason == "ENVIRONMENT_NOT_FOUND"


async def test_a_request_id_is_known_per_workspace(submitter: Submitter) -> None:
    request_id = str(uuid.uuid4())
    first = await submitter.submit(request_id=request_id)
    second = await submitter.submit(SCRIPT, request_id=request_id, run_id="other")

    assert second.run.name == first.run.name


async def test_what_a_runner_says_keeps_its_limits(submitter: Submitter) -> None:
    name, stub = (await submitter.submit()).run.name, submitter.stub
    lease = (await submitter.claim(name, "h" * 255)).lease
    await submitter.report(name, lease, S.RUN_STATUS_RUNNING, reason="r" * 300)
    error = run_pb2.RunError(code="c" * 257)
    wrong = [
        stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="h" * 256)),
        stub.ClaimJob(messages.ClaimJobRequest(run=name)),
        stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="h", lease=-1)),
    ] + [
        stub.ReportJob(messages.ReportJobRequest(run=name, lease=lease, **of_report))
        for of_report in (
            {"status": S.RUN_STATUS_RUNNING, "reason": "r" * 301},
            {"status": S.RUN_STATUS_QUEUED},
            {"status": S.RUN_STATUS_RUNNING, "error": run_pb2.RunError(code="c")},
            {"status": S.RUN_STATUS_FAILED, "error": error},
            {"status": S.RUN_STATUS_RUNNING, "time": Timestamp(seconds=-1)},
        )
    ]

    assert {(await failure_of(call)).reason for call in wrong} == {"INVALID_FIELD"}
    error = run_pb2.RunError(code="c" * 256, message="m" * 200_000, stack_trace="nul \0 " + "s" * 200_000)
    ended = await submitter.report(name, lease, S.RUN_STATUS_FAILED, error=error)
    assert (ended.error.code, len(ended.error.message), len(ended.error.stack_trace)) == ("c" * 256, 3_000, 99_999)
    assert " ... (cut) ... " in ended.error.message
