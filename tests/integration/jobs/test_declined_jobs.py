"""Jobs that agents decline again and again: when they are asked again, and what the run says meanwhile."""

from datetime import timedelta

import pytest

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.jobs.model import AgentFacts, HeldJob
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.queue import MOST_REMEMBERED, Asking, QueueStore, Terms
from runstream_server.jobs.store.upkeep import UpkeepStore
from runstream_server.names import ComputeTargetName
from runstream_server.postgres import Postgres
from tests.connected_agents import POOL, agent, make_pool
from tests.jobs_clock import pass_time
from tests.submitted import Submitter

TERMS = Terms(timedelta(minutes=1), timedelta(minutes=10))
SECOND = timedelta(seconds=1)
TARGET = ComputeTargetName("space", "pool")


@pytest.fixture
async def pool(submitter: Submitter) -> Submitter:
    """Submits to an agent pool."""
    await make_pool(submitter.channel)
    return submitter


class Asked:
    """An agent that declines whatever it is offered."""

    def __init__(self, postgres: Postgres, name: str) -> None:
        self._facts = AgentFacts(TARGET, name, "", {}, 1, 0, draining=False)
        self._agents, self._queue = AgentStore(postgres), QueueStore(postgres)
        self._epoch = 0

    async def declines(self) -> bool:
        """Whether it was offered a job, which it declined."""
        self._epoch = self._epoch or await self._agents.connect(self._facts)
        offered = await self._queue.offer(Asking(self._facts, self._epoch, []), TERMS)
        assert offered is not None
        for job in offered.jobs:
            await self._queue.take_back(HeldJob(job.name, job.lease), "no disk")
        return bool(offered.jobs)


async def asked_after(postgres: Postgres, asked: Asked, seconds: float) -> list[bool]:
    """Whether an agent is asked a second before a time that has passed, and then."""
    answers = []
    for time in (timedelta(seconds=seconds) - SECOND, 2 * SECOND):
        await pass_time(postgres, time)
        answers.append(await asked.declines())
    return answers


async def test_an_agent_that_declines_is_asked_again_later_each_time_up_to_ten_minutes(
    pool: Submitter, postgres: Postgres
) -> None:
    await pool.submit(compute_target=POOL)
    asked = Asked(postgres, "a")
    assert await asked.declines()

    answers = [await asked_after(postgres, asked, seconds) for seconds in (30, 60, 120, 240, 480, 600, 600)]

    assert answers == [[False, True]] * 7


async def test_others_are_asked_at_once_and_count_as_one_round(pool: Submitter, postgres: Postgres) -> None:
    await pool.submit(compute_target=POOL)
    first, second = Asked(postgres, "a"), Asked(postgres, "b")

    assert [await first.declines(), await second.declines(), await first.declines()] == [True, True, False]
    assert await asked_after(postgres, first, 30) == [False, True]


async def test_a_job_that_was_claimed_is_not_held_back_by_what_was_declined_before(
    pool: Submitter, postgres: Postgres
) -> None:
    run = (await pool.submit(compute_target=POOL)).run.name
    asked = Asked(postgres, "a")
    for seconds in (0, 31, 61):
        await pass_time(postgres, timedelta(seconds=seconds))
        assert await asked.declines()

    await pool.claim(run)

    row = await postgres.fetchrow("SELECT declines, declined_by, declined_time FROM jobs.job")
    assert row is not None
    assert tuple(row) == (0, [], None)


async def test_a_job_remembers_a_bounded_number_of_agents(pool: Submitter, postgres: Postgres) -> None:
    await pool.submit(compute_target=POOL)
    names = [f"other{n}" for n in range(MOST_REMEMBERED)]
    await postgres.execute("UPDATE jobs.job SET declined_by = $1", names)

    assert await Asked(postgres, "a").declines()

    assert await postgres.fetchval("SELECT declined_by FROM jobs.job") == [*names[1:], "a"]


async def test_whoever_looks_after_jobs_says_when_their_agents_are_to_be_asked_again(
    pool: Submitter, postgres: Postgres
) -> None:
    await pool.submit(compute_target=POOL)
    await Asked(postgres, "a").declines()
    upkeep, told = UpkeepStore(postgres), []

    for seconds in (29, 2, 20):
        await pass_time(postgres, timedelta(seconds=seconds))
        told.append(list(await upkeep.to_ask_again(10 * SECOND)))

    assert told == [[], [TARGET], []]


async def test_a_job_that_nobody_takes_says_why_on_its_run(pool: Submitter) -> None:
    run = (await pool.submit(compute_target=POOL)).run.name
    async with agent(pool.channel) as only:
        await only.decline(await only.offer(), "the disk is full")
        other = (await pool.submit(compute_target=POOL)).run.name
        assert (await only.offer()).job.run == other  # what it said before was heard

        message = (await pool.stub.GetJob(messages.GetJobRequest(run=run))).job.queueing_message
    assert message.startswith("nobody takes it: the only agent of target pool that could execute it declined, and is")
    assert message.endswith("; agent a could not start it: the disk is full")
