"""Whatever happens in whichever order, a job has one holder, and a lease that no longer counts never counts again."""

import uuid
from datetime import timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from runstream_server.jobs.model import (
    AgentFacts,
    HeldJob,
    Job,
    JobSpec,
    JobState,
    Requirements,
    Submission,
    TargetKind,
)
from runstream_server.jobs.store.agents import AgentStore
from runstream_server.jobs.store.jobs import Change, JobStore
from runstream_server.jobs.store.queue import Asking, QueueStore, Terms
from runstream_server.names import ComputeTargetName, RunName
from runstream_server.postgres import Postgres
from tests.jobs_clock import pass_time

HOUR = timedelta(hours=1)
POOL = ComputeTargetName("space", "pool")
AGENTS = [AgentFacts(POOL, f"agent{n}", "", {}, 1, 0, draining=False) for n in range(2)]
REPEATED = Change(JobState.REQUEUEING, raises_lease=True, counts_attempt=True)

_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("offer"), st.integers(0, 1), st.just(0)),
        st.tuples(st.just("claim"), st.integers(0, 1), st.integers(0, 5)),
        st.tuples(st.just("take back"), st.just(0), st.integers(0, 5)),
        st.tuples(st.just("lose"), st.just(0), st.integers(0, 5)),
        st.tuples(st.just("queue"), st.just(0), st.integers(0, 5)),
    ),
    max_size=20,
)


class Fenced:
    """A job, and which runner was told that it holds it, by lease."""

    def __init__(self, postgres: Postgres) -> None:
        self.jobs, self._queue, self._agents = JobStore(postgres), QueueStore(postgres), AgentStore(postgres)
        self._postgres = postgres
        self.name = RunName("space", uuid.uuid4().hex)
        self._epochs = [0, 0]
        self.told: dict[int, str] = {}

    async def begin(self) -> None:
        """Queues the job, and connects the agents."""
        spec = JobSpec(b"", Requirements(), 1, 100, 0)
        await self.jobs.add(Submission(self.name, POOL, uuid.uuid4(), b"", spec), TargetKind.AGENT_POOL)
        await self.jobs.change(HeldJob(self.name, 0), [JobState.SUBMITTING], Change(JobState.QUEUED))
        self._epochs = [await self._agents.connect(facts) for facts in AGENTS]

    async def step(self, what: str, who: int, lease: int) -> None:
        """Does something, whether or not it is the time for it."""
        held = HeldJob(self.name, lease)
        if what == "offer":
            await self._queue.offer(Asking(AGENTS[who], self._epochs[who], []), Terms(HOUR, HOUR))
        elif what == "claim":
            claimed = await self.jobs.claim(self.name, f"runner{who}", lease, HOUR)
            if claimed is not None:
                assert self.told.setdefault(claimed.lease, claimed.runner) == f"runner{who}"
        elif what == "take back":
            await self._queue.take_back(held, "")
            await pass_time(self._postgres, HOUR)  # until the same agent is asked again
        elif what == "lose":
            await self.jobs.change(held, [JobState.HELD], REPEATED)
        else:
            await self.jobs.change(held, [JobState.REQUEUEING], Change(JobState.QUEUED))

    async def counts(self, lease: int) -> bool:
        """Whether a runner with this lease may go on."""
        return await self.jobs.renew(HeldJob(self.name, lease), HOUR)

    async def job(self) -> Job:
        """The job as it is."""
        job = await self.jobs.get(self.name)
        assert job is not None
        return job


@settings(max_examples=25)
@given(steps=_STEPS)
async def test_a_job_has_one_holder_and_a_lease_only_grows(
    postgres: Postgres, steps: list[tuple[str, int, int]]
) -> None:
    await postgres.execute("DELETE FROM jobs.job")
    await postgres.execute(
        """
        INSERT INTO jobs.compute_target VALUES ('space', 'pool', 'agent_pool', '', '{"lost_after": 60}', now())
        ON CONFLICT DO NOTHING
        """
    )
    fenced = Fenced(postgres)
    await fenced.begin()
    last = 0
    for step in steps:
        await fenced.step(*step)
        job = await fenced.job()
        counting = [lease for lease in fenced.told if await fenced.counts(lease)]

        assert job.lease >= last
        assert counting == ([job.lease] if job.state is JobState.HELD else [])
        last = job.lease
