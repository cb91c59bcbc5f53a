"""Ten agents at two replicas and a thousand jobs; replicas that stop; agents that fall silent."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import replace

import grpc

from runstream.api.jobs.v1 import agent_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream.api.runs.v1 import run_pb2
from runstream_server import app
from runstream_server.config import Config, JobsConfig
from runstream_server.jobs.rules.agents import PATIENCE
from runstream_server.postgres import Postgres
from runstream_server.rpc import open_channel
from tests import stubs
from tests.conftest import Backend, serve
from tests.connected_agents import POOL, RawAgent, agent, hello_of, make_pool
from tests.make_runs import WORKSPACE
from tests.submitted import S, Submitter, make_submitter

_QUEUED = 1_000
_EXECUTED = 100
_AGENTS = 10
_SLOTS = 4
_SUBMITTERS = 20


class Worker:
    """An agent that claims what it is offered and says at once that it is done."""

    def __init__(self, raw: RawAgent, submitter: Submitter, done: asyncio.Queue[str]) -> None:
        self._raw = raw
        self._submitter = submitter
        self._done = done
        self.most_at_once = 0
        self._at_once = 0

    async def work(self) -> None:
        """Takes offers until the stream ends."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                offer = await self._raw.offer()
                self._at_once += 1
                self.most_at_once = max(self.most_at_once, self._at_once)
                tasks.create_task(self._execute(offer))

    async def _execute(self, offer: agent_pb2.JobOffer) -> None:
        run = offer.job.run
        lease = (await self._submitter.claim(run, f"runner of {run}", offer.lease)).lease
        self._at_once -= 1
        await self._submitter.report(run, lease, S.RUN_STATUS_FAILED)
        await self._raw.report()
        self._done.put_nowait(run)


async def test_a_thousand_queued_jobs_are_offered_once_each_to_ten_agents_at_two_replicas(
    submitter: Submitter, replica: Backend, postgres: Postgres
) -> None:
    await make_pool(submitter.channel)
    names = await queue_jobs(submitter, postgres)
    channels = [submitter.channel, replica.channel]
    agents = [
        RawAgent(channels[n % 2], hello_of(f"agent{n}", slots=_QUEUED // _AGENTS, gpus=n, labels={"n": str(n)}))
        for n in range(_AGENTS)
    ]
    await asyncio.gather(*(raw.begin() for raw in agents))

    offers = await asyncio.gather(*(_offers_of(raw, _QUEUED // _AGENTS) for raw in agents))
    for raw in agents:
        raw.call.cancel()

    assert Counter(offer.job.run for of_agent in offers for offer in of_agent) == Counter(names)
    assert {offer.lease for of_agent in offers for offer in of_agent} == {1}


async def _offers_of(raw: RawAgent, count: int) -> Sequence[agent_pb2.JobOffer]:
    return [await raw.offer() for _ in range(count)]


async def queue_jobs(submitter: Submitter, postgres: Postgres) -> Sequence[str]:
    """Queues many jobs as SubmitRun does, in one step; returns the names of their runs."""
    run = run_pb2.Run(experiment=submitter.experiment, service_managed=True, target="pool")
    requests = [runs.CreateRunRequest(parent=WORKSPACE, run=run, run_id=f"run{n:04}") for n in range(_QUEUED)]
    created = await stubs.run_history(submitter.channel).BatchCreateRuns(
        runs.BatchCreateRunsRequest(parent=WORKSPACE, requests=requests)
    )
    await postgres.execute(
        """
        INSERT INTO jobs.job (workspace, run, compute_target, kind, request_id, definition, state, priority, slots,
                              gpus, labels, max_attempts, create_time, state_time)
        SELECT 'space', run, 'pool', 'agent_pool', gen_random_uuid(), '', 'queued', 0, 1, 0, '{}', 1, now(), now()
          FROM unnest($1::text[]) run
        """,
        [request.run_id for request in requests],
    )
    return [run.name for run in created.runs]


async def test_jobs_that_are_submitted_meanwhile_are_executed_once_each(submitter: Submitter, replica: Backend) -> None:
    await make_pool(submitter.channel)
    places = [submitter, replace(submitter, channel=replica.channel)]
    done: asyncio.Queue[str] = asyncio.Queue()
    agents = [RawAgent(places[n % 2].channel, hello_of(f"agent{n}", slots=_SLOTS)) for n in range(_AGENTS)]
    workers = [Worker(raw, places[n // 2 % 2], done) for n, raw in enumerate(agents)]
    left = iter(range(_EXECUTED))
    submitted: list[str] = []

    async def submit(place: Submitter) -> None:
        submitted.extend([(await place.submit(compute_target=POOL)).run.name for _ in left])

    await asyncio.gather(*(raw.begin() for raw in agents))
    async with asyncio.timeout(100):
        working = asyncio.gather(*(worker.work() for worker in workers))
        await asyncio.gather(*(submit(places[n % 2]) for n in range(_SUBMITTERS)))
        finished = Counter([await done.get() for _ in range(_EXECUTED)])
    for raw in agents:
        raw.call.cancel()
    await asyncio.gather(working, return_exceptions=True)

    assert finished == Counter(submitted)
    assert len(finished) == _EXECUTED
    assert done.empty()
    assert all(1 <= worker.most_at_once <= _SLOTS for worker in workers)


async def test_a_server_that_stops_tells_its_agents_and_their_jobs_go_on(config: Config, submitter: Submitter) -> None:
    await make_pool(submitter.channel)
    name = (await submitter.submit(compute_target=POOL)).run.name
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(app.serve(config))
        async with open_channel(server.address) as channel:
            first = RawAgent(channel, hello_of())
            await first.begin()
            offer = await first.offer()
            stopping = asyncio.create_task(stack.aclose())
            told = await first.hear()
            failure = await first.failure()
            await stopping

    assert told.WhichOneof("message") == "draining"
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")
    assert (await submitter.claim(name, lease=offer.lease)).lease == offer.lease


async def test_an_agent_that_is_silent_is_thought_lost(config: Config) -> None:
    async with serve(replace(config, jobs=JobsConfig(report_seconds=0.05))) as backend:
        submitter = await make_submitter(backend.channel)
        await make_pool(backend.channel)
        async with agent(backend.channel) as first:
            failure = await first.failure()

        listed = await submitter.stub.ListAgents(messages.ListAgentsRequest(parent=POOL))
    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "AGENT_SILENT")
    assert [each.connected for each in listed.agents] == [False]


async def test_a_job_that_waits_for_long_is_no_longer_overtaken(submitter: Submitter, postgres: Postgres) -> None:
    await make_pool(submitter.channel)
    large = job_pb2.JobDefinition(script="a.py", requirements=job_pb2.JobRequirements(slots=2))
    first = (await submitter.submit(compute_target=POOL)).run.name
    async with agent(submitter.channel, slots=2) as only:
        lease = (await submitter.claim(first, lease=(await only.offer()).lease)).lease
        waiting = (await submitter.submit(large, compute_target=POOL)).run.name
        overtaking = (await submitter.submit(compute_target=POOL)).run.name
        offer = await only.offer()
        await postgres.execute("UPDATE jobs.job SET create_time = create_time - $1::interval", PATIENCE)
        await submitter.submit(compute_target=POOL)
        await submitter.report(first, lease, S.RUN_STATUS_FAILED)
        await only.decline(offer)
        last = await only.offer()

    assert [offer.job.run, last.job.run] == [overtaking, waiting]
