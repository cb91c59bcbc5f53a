"""Processes whose clocks are wrong: who has a job for how long is judged by the clock of the database alone."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from runstream.api.jobs.v1 import job_pb2
from runstream_server.jobs.model import AgentFacts, HeldJob, Job
from runstream_server.jobs.mount import Service
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres
from tests.conftest import Backend
from tests.connected_agents import POOL, make_pool
from tests.jobs_clock import pass_time, service_with_clock
from tests.submitted import Submitter

DAY = timedelta(days=1)
TWICE = job_pb2.JobDefinition(script="train.py", max_attempts=2)


@pytest.fixture
async def early(backend: Backend, postgres: Postgres) -> AsyncIterator[Service]:
    """A process whose clock is a day ahead."""
    async with service_with_clock(backend, postgres, DAY) as service:
        yield service


@pytest.fixture
async def late(backend: Backend, postgres: Postgres) -> AsyncIterator[Service]:
    """A process whose clock is a day behind."""
    async with service_with_clock(backend, postgres, -DAY) as service:
        yield service


async def held(submitter: Submitter) -> HeldJob:
    await make_pool(submitter.channel)
    name = (await submitter.submit(TWICE, compute_target=POOL)).run.name
    return HeldJob(RunName.parse(name), (await submitter.claim(name)).lease)


async def test_a_process_ahead_of_the_others_takes_no_job_away(submitter: Submitter, early: Service) -> None:
    job = await held(submitter)

    for _ in range(2):
        await early.reaper.make_pass()

    assert (await submitter.job(str(job.name))).attempt == 1


async def test_what_a_process_ahead_of_the_others_renews_does_not_last_longer(
    submitter: Submitter, early: Service, late: Service, postgres: Postgres
) -> None:
    job = await held(submitter)
    await early.rules.leases.renew(job)
    await late.reaper.make_pass()

    for _ in range(8):
        await pass_time(postgres, timedelta(seconds=10))
        await late.reaper.make_pass()

    assert (await submitter.job(str(job.name))).attempt == 2


async def test_what_a_process_behind_the_others_renews_lasts_as_long(
    submitter: Submitter, early: Service, late: Service, postgres: Postgres
) -> None:
    job = await held(submitter)
    for _ in range(4):
        await pass_time(postgres, timedelta(seconds=20))
        await late.rules.leases.renew(job)
        await early.reaper.make_pass()

    assert (await submitter.job(str(job.name))).attempt == 1


async def test_an_agent_of_a_process_behind_the_others_is_connected_for_them(
    submitter: Submitter, early: Service, late: Service
) -> None:
    await make_pool(submitter.channel)
    target = ComputeTargetName("space", "pool")
    async with late.rules.agents.connected(AgentFacts(target, "a", "", {}, 1, 0, draining=False), []) as session:
        await submitter.submit(compute_target=POOL)
        (offered,) = await session.news()
        await early.reaper.make_pass()

        assert isinstance(offered, Job)
        assert [each.connected for each in await early.rules.agents.list_agents(target, "", 10)] == [True]
        claimed, _ = await early.rules.leases.claim(offered.name, "runner", offered.lease)
    assert claimed.lease == offered.lease
