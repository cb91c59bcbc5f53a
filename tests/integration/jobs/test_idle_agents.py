"""Agents that a queue has nothing for: when it is searched for them again."""

from collections.abc import AsyncIterator

import pytest

from runstream.api.jobs.v1 import job_pb2
from runstream_server.jobs.model import AgentFacts, HeldJob, Job
from runstream_server.jobs.mount import Service
from runstream_server.jobs.rules.agents import AgentSession
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres
from tests.conftest import Backend
from tests.connected_agents import POOL, make_pool
from tests.jobs_clock import service_with_clock
from tests.submitted import Submitter

TARGET = ComputeTargetName("space", "pool")
LARGE = job_pb2.JobDefinition(script="train.py", requirements=job_pb2.JobRequirements(slots=9))


@pytest.fixture
async def service(backend: Backend, postgres: Postgres, submitter: Submitter) -> AsyncIterator[Service]:
    """The job service of a process, with a pool; what others do is not hinted at to it."""
    await make_pool(submitter.channel)
    async with service_with_clock(backend, postgres) as made:
        yield made


@pytest.fixture
async def session(service: Service, submitter: Submitter) -> AsyncIterator[AgentSession]:
    """An agent that has looked at a queue whose jobs do not fit it."""
    await submitter.submit(LARGE, compute_target=POOL)
    facts = AgentFacts(TARGET, "a", "", {}, 1, 0, draining=False)
    async with service.rules.agents.connected(facts, []) as connected:
        assert not await connected.news()
        yield connected


async def test_a_queue_is_not_searched_again_before_it_is_hinted_at(
    session: AgentSession, service: Service, submitter: Submitter
) -> None:
    fitting = RunName.parse((await submitter.submit(compute_target=POOL)).run.name)
    unhinted = [await session.news() for _ in range(3)]

    service.reaper._settling.hint_at_queues([TARGET])
    (offered,) = await session.news()

    assert unhinted == [[], [], []]
    assert isinstance(offered, Job)
    assert offered.name == fitting


async def test_reports_that_say_nothing_new_do_not_have_the_queue_searched(
    session: AgentSession, submitter: Submitter
) -> None:
    await submitter.submit(compute_target=POOL)

    await session.report([], draining=False)
    same = await session.news()
    await session.report([HeldJob(RunName("space", "unknown"), 1)], draining=False)
    changed = await session.news()

    assert same == []
    assert [type(each).__name__ for each in changed] == ["Revocation", "Job"]
