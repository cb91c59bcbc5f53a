"""Jobs that nobody speaks for: time passes, and crashes leave things half done."""

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from prometheus_client import REGISTRY

from runstream.api.jobs.v1 import compute_target_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2
from runstream_server.jobs.model import (
    AgentFacts,
    HeldJob,
    Job,
    JobSpec,
    JobState,
    Requirements,
    Submission,
    TargetKind,
    Verdict,
)
from runstream_server.jobs.mount import Service
from runstream_server.jobs.rules.agents import AgentSession
from runstream_server.jobs.rules.reaper import FORGOTTEN_AFTER
from runstream_server.jobs.rules.settling import CANCELED
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.store.upkeep import UpkeepStore
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres
from runstream_server.runhistory import ManagedRuns, StatusEntry
from tests import stubs
from tests.append_clients import failure_of
from tests.conditions import until_answered
from tests.conftest import Backend
from tests.connected_agents import POOL, agent, held_by, make_pool
from tests.jobs_clock import pass_time, service_with_clock
from tests.submitted import LOCAL, S, Submitter

STEP = timedelta(seconds=10)
TWICE = job_pb2.JobDefinition(script="train.py", max_attempts=2)


@dataclass
class Keeper:
    """Looks after the jobs as a process does."""

    backend: Backend
    postgres: Postgres
    service: Service

    async def pass_time(self, time: timedelta) -> None:
        """Lets time pass, looking after the jobs meanwhile."""
        while time:
            step = min(STEP, time)
            await pass_time(self.postgres, step)
            await self.service.reaper.make_pass()
            time -= step


@pytest.fixture
async def keeper(backend: Backend, postgres: Postgres) -> AsyncIterator[Keeper]:
    async with service_with_clock(backend, postgres) as service:
        await service.reaper.make_pass()
        yield Keeper(backend, postgres, service)


@pytest.fixture
async def pool(submitter: Submitter) -> Submitter:
    """Submits to an agent pool that gives up runners after a minute."""
    await make_pool(submitter.channel, agent_pool=compute_target_pb2.AgentPool(lost_after=Duration(seconds=60)))
    return submitter


async def held(pool: Submitter, definition: job_pb2.JobDefinition, status: Any = S.RUN_STATUS_RUNNING) -> HeldJob:
    """A job that a runner holds."""
    name = (await pool.submit(definition, compute_target=POOL)).run.name
    lease = (await pool.claim(name)).lease
    await pool.report(name, lease, status)
    return HeldJob(RunName.parse(name), lease)


def counted(outcome: str) -> float:
    return REGISTRY.get_sample_value("runstream_jobs_leases_lost_total", {"outcome": outcome}) or 0.0


async def test_jobs_that_wait_are_counted(pool: Submitter, keeper: Keeper) -> None:
    for target in (POOL, POOL, LOCAL):
        await pool.submit(compute_target=target)

    await keeper.pass_time(STEP)

    kinds = ("local", "agent_pool", "kubernetes")
    assert [REGISTRY.get_sample_value("runstream_jobs_queued", {"kind": kind}) for kind in kinds] == [1, 2, 0]


async def test_a_local_run_fails_if_no_runner_claims_it_within_a_minute(submitter: Submitter, keeper: Keeper) -> None:
    name, claimed = (await submitter.submit()).run.name, (await submitter.submit()).run.name
    await submitter.claim(claimed)

    await keeper.pass_time(timedelta(seconds=55))
    early = await submitter.run(name)
    await keeper.pass_time(timedelta(seconds=20))

    run = await submitter.run(name)
    assert (early.status, run.status) == (S.RUN_STATUS_STARTING, S.RUN_STATUS_FAILED)
    assert run.error.code == "RunnerNotStarted"
    assert "60 s" in run.error.message
    assert (await submitter.job(name)).state == job_pb2.JOB_STATE_ENDED
    assert (await submitter.run(claimed)).status == S.RUN_STATUS_STARTING


async def test_a_runner_that_renews_its_lease_keeps_it(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)
    for _ in range(10):
        await keeper.service.rules.leases.renew(job)
        await keeper.pass_time(timedelta(seconds=50))

    assert (await pool.job(str(job.name))).attempt == 1


async def test_a_run_whose_runner_is_lost_is_executed_again_if_it_may(pool: Submitter, keeper: Keeper) -> None:
    lost, was_lost = await held(pool, TWICE), counted("repeated")
    name = str(lost.name)

    await keeper.pass_time(timedelta(seconds=75))

    run, job = await pool.run(name), await pool.job(name)
    assert (run.status, job.state, job.attempt) == (S.RUN_STATUS_QUEUED, job_pb2.JOB_STATE_QUEUED, 2)
    assert [(change.status, change.reason) for change in run.status_history[-2:]] == [
        (S.RUN_STATUS_NOT_RESPONDING, "the runner was lost"),
        (S.RUN_STATUS_QUEUED, "attempt 2 of 2: the runner of the one before was lost"),
    ]
    late = messages.ReportJobRequest(run=name, lease=lost.lease, status=S.RUN_STATUS_COMPLETED)
    assert (await failure_of(pool.stub.ReportJob(late))).reason == "LEASE_LOST"
    renewal = pool.stub.RenewLease(messages.RenewLeaseRequest(run=name, lease=lost.lease))
    assert (await failure_of(renewal)).reason == "LEASE_LOST"
    async with agent(pool.channel) as other:
        offer = await other.offer()
        lease = (await pool.claim(name, lease=offer.lease)).lease
        for status in (S.RUN_STATUS_PREPARING, S.RUN_STATUS_RUNNING, S.RUN_STATUS_COMPLETED):
            await pool.report(name, lease, status)
        await other.report(held_by(offer), held_by(offer))
    assert (await pool.run(name)).status == S.RUN_STATUS_COMPLETED
    assert offer.lease > lost.lease
    assert counted("repeated") == was_lost + 1


async def test_a_run_whose_runner_is_lost_for_good_fails_after_a_time(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, job_pb2.JobDefinition(script="train.py"))

    await keeper.pass_time(timedelta(seconds=115))
    early = await pool.run(str(job.name))
    await keeper.pass_time(timedelta(seconds=20))

    run = await pool.run(str(job.name))
    assert (early.status, run.status) == (S.RUN_STATUS_RUNNING, S.RUN_STATUS_FAILED)
    assert run.error.code == "RunnerLost"
    assert "attempt 1 (runner runner)" in run.error.message
    renewal = pool.stub.RenewLease(messages.RenewLeaseRequest(run=run.name, lease=job.lease))
    assert (await failure_of(renewal)).reason == "LEASE_LOST"


async def test_a_runner_that_its_agent_has_no_more_is_not_waited_for(pool: Submitter, keeper: Keeper) -> None:
    await pool.submit(compute_target=POOL)
    async with connected(keeper) as session:
        job = await started(keeper, session)
        await session.report([], draining=False)
        await keeper.pass_time(timedelta(seconds=75))
        await session.report([job], draining=False)
        await keeper.service.reaper.make_pass()
        kept = await pool.run(str(job.name))
        await session.report([], draining=False)
        await keeper.service.reaper.make_pass()

    run = await pool.run(str(job.name))
    assert (kept.status, run.status) == (S.RUN_STATUS_PREPARING, S.RUN_STATUS_FAILED)
    assert run.error.code == "RunnerLost"
    assert "(agent a)" in run.error.message
    assert "has no such runner" in run.error.message


async def test_a_runner_that_renews_is_believed_rather_than_its_agent(pool: Submitter, keeper: Keeper) -> None:
    await pool.submit(compute_target=POOL)
    async with connected(keeper) as session:
        job = await started(keeper, session)
        await keeper.pass_time(timedelta(seconds=75))
        await session.report([], draining=False)
        await keeper.service.rules.leases.renew(job)
        await keeper.pass_time(timedelta(seconds=75))

    assert (await pool.run(str(job.name))).status == S.RUN_STATUS_PREPARING


def connected(keeper: Keeper) -> AbstractAsyncContextManager[AgentSession]:
    """An agent that is connected while the context is open."""
    facts = AgentFacts(ComputeTargetName("space", "pool"), "a", "host", {}, 1, 0, draining=False)
    return keeper.service.rules.agents.connected(facts, [])  # type: ignore[no-any-return]


async def started(keeper: Keeper, session: AgentSession) -> HeldJob:
    """The job that an agent was offered, and that a runner holds."""
    (offered,) = await session.news()
    assert isinstance(offered, Job)
    held = HeldJob(offered.name, offered.lease)
    await keeper.service.rules.leases.claim(held.name, "runner", held.lease)
    await keeper.service.rules.leases.report(held, StatusEntry("PREPARING"), is_last=False)
    return held


async def test_a_lease_that_is_renewed_while_it_is_being_given_up_is_kept(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)
    await pass_time(keeper.postgres, timedelta(seconds=70))
    (lapsed,) = await UpkeepStore(keeper.postgres).lapsed(None)
    await keeper.service.rules.leases.renew(job)

    change = Change(JobState.REQUEUEING, raises_lease=True, lapsed_at=lapsed.since)
    assert not await JobStore(keeper.postgres).change(job, [JobState.HELD], change)
    assert (await pool.job(str(job.name))).state == job_pb2.JOB_STATE_HELD


async def test_a_job_that_cannot_be_settled_does_not_hold_up_the_others(pool: Submitter, keeper: Keeper) -> None:
    broken, lost = await held(pool, TWICE), await held(pool, TWICE)
    change = Change(JobState.ENDING, verdict=Verdict("NO_SUCH_STATUS"))
    await JobStore(keeper.postgres).change(broken, [JobState.HELD], change)

    await keeper.pass_time(timedelta(seconds=75))

    assert (await pool.job(str(lost.name))).attempt == 2


async def test_time_in_which_nobody_looked_is_not_counted(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)

    await pass_time(keeper.postgres, timedelta(hours=10))
    await keeper.service.reaper.make_pass()
    await keeper.pass_time(timedelta(seconds=50))
    early = (await pool.job(str(job.name))).attempt
    await keeper.pass_time(timedelta(seconds=25))

    assert (early, (await pool.job(str(job.name))).attempt) == (1, 2)


async def test_a_program_that_has_ended_is_not_executed_again(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)
    await pool.report(str(job.name), job.lease, S.RUN_STATUS_FINALIZING)

    await keeper.pass_time(timedelta(seconds=75))
    early = await pool.job(str(job.name))
    await keeper.pass_time(timedelta(seconds=60))

    run = await pool.run(str(job.name))
    assert (early.state, early.attempt) == (job_pb2.JOB_STATE_HELD, 1)
    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "RunnerLost")


async def test_a_run_that_is_cancelled_when_its_runner_is_lost_is_canceled(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)
    await pool.cancel(str(job.name))

    await keeper.pass_time(timedelta(seconds=75))

    assert (await pool.run(str(job.name))).status == S.RUN_STATUS_CANCELED
    assert (await pool.job(str(job.name))).state == job_pb2.JOB_STATE_ENDED


async def test_a_job_ends_with_a_run_that_others_ended(pool: Submitter, keeper: Keeper) -> None:
    job = await held(pool, TWICE)
    await stubs.run_history(pool.channel).FailRun(runs.FailRunRequest(name=str(job.name)))
    renewed = await pool.stub.RenewLease(messages.RenewLeaseRequest(run=str(job.name), lease=job.lease))

    await keeper.pass_time(timedelta(seconds=75))

    assert renewed.cancel_requested
    assert (await pool.job(str(job.name))).state == job_pb2.JOB_STATE_ENDED


async def test_an_offer_that_nobody_claims_goes_to_another_agent(pool: Submitter, keeper: Keeper) -> None:
    name = (await pool.submit(compute_target=POOL)).run.name
    async with agent(pool.channel, "a") as first:
        offer = await first.offer()
        await keeper.pass_time(timedelta(seconds=75))
        late = pool.stub.ClaimJob(messages.ClaimJobRequest(run=name, holder="late", lease=offer.lease))
        async with agent(pool.channel, "b") as second:
            again = await second.offer()

            assert (await failure_of(late)).reason == "LEASE_LOST"
    assert (again.job.run, again.job.attempt) == (name, 1)


async def test_agents_that_were_not_heard_of_for_a_week_are_forgotten(pool: Submitter, keeper: Keeper) -> None:
    async with agent(pool.channel):
        pass
    await until_answered(lambda: nobody_is_connected(pool))

    await pass_time(keeper.postgres, FORGOTTEN_AFTER - timedelta(minutes=1))
    await keeper.service.reaper.make_pass()
    before = await pool.stub.ListAgents(messages.ListAgentsRequest(parent=POOL))
    await pass_time(keeper.postgres, timedelta(minutes=2))
    await keeper.service.reaper.make_pass()
    after = await pool.stub.ListAgents(messages.ListAgentsRequest(parent=POOL))

    assert (len(before.agents), len(after.agents)) == (1, 0)


async def nobody_is_connected(pool: Submitter) -> bool:
    listed = await pool.stub.ListAgents(messages.ListAgentsRequest(parent=POOL))
    return not any(each.connected for each in listed.agents)


@pytest.mark.parametrize("target", ["local", "pool"])
@pytest.mark.parametrize("steps", [0, 1, 2])
async def test_a_submission_that_a_crash_interrupted_is_finished(
    pool: Submitter, keeper: Keeper, target: str, steps: int
) -> None:
    name, request_id = RunName("space", "interrupted"), uuid.uuid4()
    run = run_pb2.Run(experiment=pool.experiment, service_managed=True, target=target).SerializeToString()
    spec = JobSpec(TWICE.SerializeToString(), Requirements(), 1, 1, 0)
    submission = Submission(name, ComputeTargetName("space", target), request_id, run, spec)
    kind = TargetKind.LOCAL if target == "local" else TargetKind.AGENT_POOL
    waits = "STARTING" if target == "local" else "QUEUED"
    await JobStore(keeper.postgres).add(submission, kind)
    managed = ManagedRuns(pool.channel)
    if steps > 0:
        await managed.create(name, run, request_id)
    if steps > 1:
        await managed.enter(name, StatusEntry(waits))

    await keeper.pass_time(2 * STEP)

    entered = [change.status for change in (await pool.run(str(name))).status_history]
    assert entered == [S.RUN_STATUS_NOT_STARTED, S.Value(f"RUN_STATUS_{waits}")]
    assert (await pool.claim(str(name))).lease == 1


async def test_a_submission_of_a_run_that_is_refused_is_undone(pool: Submitter, keeper: Keeper) -> None:
    name = RunName("space", "refused")
    spec = JobSpec(b"", Requirements(), 1, 1, 0)
    submission = Submission(name, ComputeTargetName("space", "local"), uuid.uuid4(), b"", spec)
    await JobStore(keeper.postgres).add(submission, TargetKind.LOCAL)

    await keeper.pass_time(2 * STEP)

    assert await JobStore(keeper.postgres).get(name) is None


async def test_an_ending_that_a_crash_interrupted_is_finished(pool: Submitter, keeper: Keeper) -> None:
    ending, repeated = await held(pool, TWICE), await held(pool, TWICE)
    jobs = JobStore(keeper.postgres)
    await jobs.change(ending, [JobState.HELD], Change(JobState.ENDING, verdict=CANCELED))
    change = Change(JobState.REQUEUEING, raises_lease=True, counts_attempt=True)
    await jobs.change(repeated, [JobState.HELD], change)

    await keeper.pass_time(2 * STEP)

    assert (await pool.run(str(ending.name))).status == S.RUN_STATUS_CANCELED
    assert (await pool.job(str(ending.name))).state == job_pb2.JOB_STATE_ENDED
    assert (await pool.run(str(repeated.name))).status == S.RUN_STATUS_QUEUED
    assert (await pool.job(str(repeated.name))).attempt == 2


async def test_many_who_look_at_once_lose_a_runner_once(pool: Submitter, keeper: Keeper) -> None:
    definition = job_pb2.JobDefinition(script="train.py", max_attempts=100)
    names = [await held(pool, definition) for _ in range(5)]
    await keeper.pass_time(timedelta(seconds=60))
    await pass_time(keeper.postgres, STEP)

    await asyncio.gather(*(keeper.service.reaper.make_pass() for _ in range(4)))

    attempts: list[Job | None] = [await JobStore(keeper.postgres).get(each.name) for each in names]
    assert [job.attempt if job else 0 for job in attempts] == [2] * 5
