"""Agents: what each is offered, declines, loses, and how their streams end."""

from typing import Any

import grpc
import pytest
from prometheus_client import REGISTRY

from runstream.api.jobs.v1 import agent_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of
from tests.conditions import until_answered
from tests.conftest import Backend
from tests.connected_agents import POOL, RawAgent, agent, held_by, hello_of, make_pool
from tests.make_runs import WORKSPACE
from tests.submitted import S, Submitter

CODE = grpc.StatusCode


def needing(priority: int = 0, **needs: Any) -> job_pb2.JobDefinition:
    requirements = job_pb2.JobRequirements(**needs)
    return job_pb2.JobDefinition(script="train.py", requirements=requirements, priority=priority)


async def submit(submitter: Submitter, definition: job_pb2.JobDefinition | None = None) -> str:
    return (await submitter.submit(definition or needing(), compute_target=POOL)).run.name


@pytest.fixture
async def pool(submitter: Submitter) -> Submitter:
    """Submits to an agent pool."""
    await make_pool(submitter.channel)
    return submitter


async def test_an_agent_gets_the_job_and_its_runner_claims_it(pool: Submitter) -> None:
    name = await submit(pool)
    async with agent(pool.channel) as first:
        offer = await first.offer()
        offered = await pool.job(name)
        claimed = await pool.claim(name, "runner", offer.lease)

    held = await pool.job(name)
    assert (offer.job.run, offer.lease, claimed.lease) == (name, 1, 1)
    assert offer.job.definition.script == "train.py"
    assert (offered.state, offered.queueing_message) == (
        job_pb2.JOB_STATE_QUEUED,
        "agent a is starting a runner for it",
    )
    assert (held.state, held.holder, held.queueing_message) == (job_pb2.JOB_STATE_HELD, "a", "")
    assert (await pool.run(name)).status == S.RUN_STATUS_QUEUED


async def test_a_job_that_is_submitted_later_wakes_a_free_agent(pool: Submitter) -> None:
    async with agent(pool.channel) as first:
        name = await submit(pool)

        assert (await first.offer()).job.run == name


async def test_jobs_go_by_priority_then_by_age(pool: Submitter) -> None:
    names = [await submit(pool, needing(priority)) for priority in (0, -1_000, 1_000, 0)]
    async with agent(pool.channel, slots=4) as first:
        offered = [(await first.offer()).job.run for _ in names]

    assert offered == [names[2], names[0], names[3], names[1]]


async def test_an_agent_is_offered_no_more_than_it_has_room_for(pool: Submitter) -> None:
    large = await submit(pool, needing(slots=3, gpus=1))
    small = [await submit(pool, needing(slots=1)) for _ in range(2)]
    async with agent(pool.channel, slots=4, gpus=1) as first:
        offers = [await first.offer(), await first.offer()]
        waits = await pool.job(small[1])
        claimed = await pool.claim(large, lease=offers[0].lease)
        await pool.report(large, claimed.lease, S.RUN_STATUS_FAILED)
        last = await first.offer()

    assert [offer.job.run for offer in (*offers, last)] == [large, *small]
    assert waits.queueing_message == "waits for 1 free slot"


async def test_an_agent_gets_only_jobs_that_its_labels_fit(pool: Submitter) -> None:
    fast = await submit(pool, needing(labels={"gpu": "a100", "zone": "b"}))
    any_job = await submit(pool)
    async with agent(pool.channel, slots=9, labels={"gpu": "a100"}) as first:
        assert (await first.offer()).job.run == any_job
        async with agent(pool.channel, "b", slots=9, labels={"gpu": "a100", "zone": "b", "more": ""}) as second:
            assert (await second.offer()).job.run == fast


async def test_a_waiting_job_says_what_it_waits_for(pool: Submitter) -> None:
    names = [
        await submit(pool, definition)
        for definition in (needing(labels={"gpu": "a100"}), needing(gpus=2), needing(slots=3), needing(), needing())
    ]
    nobody = (await pool.job(names[3])).queueing_message
    async with agent(pool.channel, slots=2, gpus=1) as first:
        offers = [await first.offer() for _ in range(2)]
        told = [await pool.job(name) for name in names[:3]]
        await submit(pool)
        behind = (await pool.job(await submit(pool, needing(gpus=1)))).queueing_message
        await first.report(*map(held_by, offers), draining=True)
        status = (await pool.stub.GetComputeTarget(messages.GetComputeTargetRequest(name=POOL))).compute_target

    assert nobody == "no agent of target pool is connected; start one with `runstream agent start --target pool`"
    assert [job.queueing_message for job in told] == [
        "no connected agent of target pool has label gpu=a100",
        "needs 2 GPUs, and no connected agent of target pool has more than 1",
        "needs 3 slots, and no connected agent of target pool has more than 2",
    ]
    assert all(job.HasField("queueing_time") for job in told)
    assert behind == "waits for 1 free slot; 4 jobs before it"
    assert status.status_message == "1 agent connected, 0 of 2 slots free"


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_offers_and_agents_are_counted(pool: Submitter) -> None:
    outcomes = ("made", "claimed", "declined")
    before = [counted("runstream_jobs_offers_total", outcome=outcome) for outcome in outcomes]
    async with agent(pool.channel, slots=2) as first:
        for _ in range(2):
            await submit(pool)
        kept, declined = await first.offer(), await first.offer()
        await first.decline(declined)
        async with agent(pool.channel, "b") as second:
            await second.offer()
            await pool.claim(kept.job.run, lease=kept.lease)
            streams = counted("runstream_jobs_agent_streams")
    after = [counted("runstream_jobs_offers_total", outcome=outcome) for outcome in outcomes]

    assert [new - old for new, old in zip(after, before, strict=True)] == [3, 1, 1]
    assert streams == 2


async def test_a_declined_job_goes_to_another_agent_first(pool: Submitter) -> None:
    name = await submit(pool)
    async with agent(pool.channel, "a") as first:
        await first.decline(await first.offer())
        async with agent(pool.channel, "b") as second:
            offer = await second.offer()
            other = await submit(pool)
            assert (offer.job.run, (await first.offer()).job.run) == (name, other)

    assert (offer.lease, offer.job.attempt) == (3, 1)


async def test_an_agent_that_drains_gets_no_more_jobs(pool: Submitter) -> None:
    async with agent(pool.channel, "a", draining=True), agent(pool.channel, "b", slots=2) as second:
        name = await submit(pool)
        offer = await second.offer()
        await second.report(held_by(offer), draining=True)

        async def drains() -> bool:
            return all(each.draining for each in (await agents(pool)).agents)

        await until_answered(drains)
        last = await submit(pool)
        async with agent(pool.channel, "c") as third:
            assert (await third.offer()).job.run == last

    assert offer.job.run == name


async def test_an_agent_that_connects_again_ends_its_former_stream(pool: Submitter, replica: Backend) -> None:
    for channel in (pool.channel, replica.channel):
        async with agent(pool.channel) as first, agent(channel) as second:
            failure = await first.failure()
            name = await submit(pool)
            offer = await second.offer()
            await pool.report(name, (await pool.claim(name, lease=offer.lease)).lease, S.RUN_STATUS_FAILED)

        assert (failure.code, failure.reason) == (CODE.ABORTED, "AGENT_REPLACED")


async def test_an_offer_that_was_not_heard_is_made_again(pool: Submitter) -> None:
    name = await submit(pool)
    async with agent(pool.channel) as first:
        offer = await first.offer()
    async with agent(pool.channel) as second:
        again = await second.offer()
    async with agent(pool.channel, held=(held_by(offer),), slots=2) as third:
        other = await submit(pool)
        new = await third.offer()

    assert (again.job.run, again.lease) == (name, offer.lease)
    assert new.job.run == other


async def test_an_agent_has_to_give_up_what_it_no_longer_holds(pool: Submitter) -> None:
    name = await submit(pool)
    async with agent(pool.channel) as first:
        offer = await first.offer()
        wrong = [
            agent_pb2.HeldJob(run=name, lease=offer.lease + 1),
            agent_pb2.HeldJob(run=f"{WORKSPACE}/runs/none", lease=1),
        ]
        await first.report(held_by(offer), *wrong)
        revoked = [(await first.hear()).revoked for _ in wrong]

    assert [each.job for each in revoked] == wrong
    assert all(each.reason for each in revoked)


async def test_a_job_whose_run_is_cancelled_is_offered_to_nobody(pool: Submitter) -> None:
    cancelled, other = await submit(pool), await submit(pool)
    assert (await pool.cancel(cancelled)).status == S.RUN_STATUS_CANCEL_REQUESTED
    async with agent(pool.channel, slots=2) as first:
        assert (await first.offer()).job.run == other

    async def has_ended() -> bool:
        return (await pool.job(cancelled)).state == job_pb2.JOB_STATE_ENDED

    await until_answered(has_ended)
    assert (await pool.run(cancelled)).status == S.RUN_STATUS_CANCELED


async def test_agents_are_listed_with_what_they_do(pool: Submitter) -> None:
    name = await submit(pool)
    async with agent(pool.channel, "b", labels={"gpu": "a100"}, slots=3, gpus=2) as second:
        await pool.claim(name, lease=(await second.offer()).lease)
        async with agent(pool.channel, "a"):
            pages = [await agents(pool, page_size=1)]
            pages.append(await agents(pool, page_size=1, page_token=pages[0].next_page_token))

    listed = [each for page in pages for each in page.agents]
    assert [each.name.rpartition("/")[2] for each in listed] == ["a", "b"]
    assert (listed[1].host, dict(listed[1].labels), listed[1].slots, listed[1].gpus) == ("b", {"gpu": "a100"}, 3, 2)
    assert (listed[1].connected, list(listed[1].runs)) == (True, [name])
    assert listed[1].HasField("last_seen_time")
    assert not pages[1].next_page_token


async def agents(pool: Submitter, **of_request: Any) -> messages.ListAgentsResponse:
    return await pool.stub.ListAgents(messages.ListAgentsRequest(parent=POOL, **of_request))  # type: ignore[no-any-return]


async def test_an_agent_that_is_wrong_is_refused(pool: Submitter) -> None:
    wrong: list[tuple[dict[str, Any], str]] = [
        ({"name": f"{WORKSPACE}/computeTargets/none/agents/a"}, "COMPUTE_TARGET_NOT_FOUND"),
        ({"name": "workspaces/none/computeTargets/pool/agents/a"}, "WORKSPACE_NOT_FOUND"),
        ({"name": f"{WORKSPACE}/computeTargets/local/agents/a"}, "NOT_AN_AGENT_POOL"),
        ({"name": f"{POOL}/agents/-"}, "INVALID_FIELD"),
        ({"name": f"{POOL}/agents/" + "a" * 256}, "INVALID_FIELD"),
        ({"slots": 0}, "INVALID_FIELD"),
        ({"slots": 10_001}, "INVALID_FIELD"),
        ({"gpus": 1_001}, "INVALID_FIELD"),
        ({"host": "h" * 256}, "INVALID_FIELD"),
        ({"labels": {str(n): "" for n in range(101)}}, "INVALID_FIELD"),
        ({"labels": {"l" * 256: ""}}, "INVALID_FIELD"),
        ({"labels": {"l": "v" * 256}}, "INVALID_FIELD"),
    ]
    reasons = []
    for of_agent, _ in wrong:
        raw = RawAgent(pool.channel, hello_of(**of_agent))
        await raw.say(hello=raw.hello)
        reasons.append((await raw.failure()).reason)

    assert reasons == [reason for _, reason in wrong]


async def test_an_agent_may_be_as_large_as_the_limits_say(pool: Submitter) -> None:
    limits: dict[str, Any] = {
        "slots": 10_000,
        "gpus": 1_000,
        "labels": {"l" * 252 + str(100 + n): "v" * 255 for n in range(100)},
    }
    async with agent(pool.channel, "a" * 255, **limits):
        assert len((await agents(pool)).agents) == 1


async def test_a_page_of_large_agents_ends_early_and_misses_none(pool: Submitter, postgres: Postgres) -> None:
    labels = {f"{n:03}": "v" * 255 for n in range(100)}
    await postgres.execute(
        """
        INSERT INTO jobs.agent
        SELECT 'space', 'pool', n::text, '', $1, 1, 0, false, false, 1, now() FROM generate_series(1000, 1299) n
        """,
        labels,
    )
    first = await agents(pool, page_size=1_000)
    second = await agents(pool, page_size=1_000, page_token=first.next_page_token)

    names = [each.name.rpartition("/")[2] for page in (first, second) for each in page.agents]
    assert names == [str(n) for n in range(1_000, 1_300)]
    assert not second.next_page_token


async def test_only_an_agent_that_introduced_itself_may_speak_and_only_once(pool: Submitter) -> None:
    raw = RawAgent(pool.channel, hello_of())
    await raw.report()
    async with agent(pool.channel, "b") as twice, agent(pool.channel, "c") as verbose, agent(pool.channel, "d") as many:
        await twice.say(hello=twice.hello)
        declined = agent_pb2.JobDeclined(job=agent_pb2.HeldJob(run=f"{WORKSPACE}/runs/r"), reason="r" * 3_001)
        await verbose.say(declined=declined)
        await many.report(*[declined.job] * 10_001)

        failures = [await each.failure() for each in (raw, twice, verbose, many)]
    assert [each.reason for each in failures] == ["PROTOCOL_ERROR", "PROTOCOL_ERROR", "INVALID_FIELD", "INVALID_FIELD"]


async def test_agents_of_no_target_are_not_listed(pool: Submitter) -> None:
    request = messages.ListAgentsRequest(parent=f"{WORKSPACE}/computeTargets/none")

    assert (await failure_of(pool.stub.ListAgents(request))).reason == "COMPUTE_TARGET_NOT_FOUND"
