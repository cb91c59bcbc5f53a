"""Who executes a job is given a token of its run, and a newer one in time."""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream_server.config import Config
from tests import stubs
from tests.conftest import Backend
from tests.connected_agents import POOL, agent, make_pool
from tests.guarded import LIFETIME, Guarded, guarded_services, now, outcome
from tests.submitted import S, Submitter, make_submitter

SCRIPT = job_pb2.JobDefinition(script="train.py")


@pytest.fixture
async def guarded(config: Config) -> AsyncIterator[Guarded]:
    """All services in this process, which want tokens."""
    async with guarded_services(config) as services:
        yield services


@pytest.fixture
async def submitter(guarded: Guarded) -> Submitter:
    """Submits runs as an operator."""
    return await make_submitter(guarded.channel)


def at(lifetime: timedelta) -> Timestamp:
    """The time so long from now."""
    stamp = Timestamp()
    stamp.FromDatetime(now() + lifetime)
    return stamp


async def test_a_claim_comes_with_a_token_that_reaches_its_run_only(guarded: Guarded, submitter: Submitter) -> None:
    run, other = [(await submitter.submit()).run.name for _ in range(2)]
    claimed = await submitter.claim(run)
    stub = stubs.jobs(await guarded.showing(claimed.run_token.secret))

    assert (await stub.GetJob(messages.GetJobRequest(run=run))).job.run == run
    assert await outcome(stub.GetJob(messages.GetJobRequest(run=other))) == "NOT_FOUND JOB_NOT_FOUND"
    assert claimed.run_token.expire_time.ToDatetime() > (now() + LIFETIME / 2).replace(tzinfo=None)


async def test_a_renewal_brings_a_newer_token_when_half_of_its_life_is_over(
    guarded: Guarded, submitter: Submitter
) -> None:
    claimed = await submitter.claim((await submitter.submit()).run.name)
    stub = stubs.jobs(await guarded.showing(claimed.run_token.secret))

    async def renewed(expire_time: Timestamp | None) -> job_pb2.RunToken:
        request = messages.RenewLeaseRequest(
            run=claimed.run.name, lease=claimed.lease, run_token_expire_time=expire_time
        )
        return (await stub.RenewLease(request)).run_token

    young = await renewed(claimed.run_token.expire_time)
    old = await renewed(at(LIFETIME / 2 - timedelta(seconds=1)))
    none = await renewed(None)

    assert not young.secret
    assert len({claimed.run_token.secret, old.secret, none.secret}) == 3
    assert old.secret.startswith("rsr_")


async def test_a_run_token_is_refreshed_until_the_job_has_ended(guarded: Guarded, submitter: Submitter) -> None:
    claimed = await submitter.claim((await submitter.submit()).run.name)
    stub = stubs.jobs(await guarded.showing(claimed.run_token.secret))
    request = messages.RefreshRunTokenRequest(run=claimed.run.name)
    refreshed = await stub.RefreshRunToken(request)
    await submitter.report(claimed.run.name, claimed.lease, S.RUN_STATUS_RUNNING)
    await submitter.report(claimed.run.name, claimed.lease, S.RUN_STATUS_COMPLETED)
    unknown = messages.RefreshRunTokenRequest(run="workspaces/space/runs/unknown")

    assert refreshed.run_token.secret not in ("", claimed.run_token.secret)
    assert await outcome(stub.RefreshRunToken(request)) == "FAILED_PRECONDITION JOB_ENDED"
    assert await outcome(submitter.stub.RefreshRunToken(unknown)) == "NOT_FOUND JOB_NOT_FOUND"


async def test_a_runner_claims_an_offered_job_with_the_token_of_the_offer(
    guarded: Guarded, submitter: Submitter
) -> None:
    await make_pool(guarded.channel)
    async with agent(guarded.channel) as raw:
        run = (await submitter.submit(SCRIPT, compute_target=POOL)).run.name
        offer = await raw.offer()
        stub = stubs.jobs(await guarded.showing(offer.run_token.secret))
        claimed = await stub.ClaimJob(messages.ClaimJobRequest(run=run, holder="runner", lease=offer.lease))

    assert claimed.run_token.secret not in ("", offer.run_token.secret)


async def test_where_everybody_is_let_in_there_are_no_run_tokens(backend: Backend) -> None:
    submitter = await make_submitter(backend.channel)
    await make_pool(backend.channel)
    claimed = await submitter.claim((await submitter.submit()).run.name)
    renewed = await submitter.stub.RenewLease(messages.RenewLeaseRequest(run=claimed.run.name, lease=claimed.lease))
    refreshed = await submitter.stub.RefreshRunToken(messages.RefreshRunTokenRequest(run=claimed.run.name))
    async with agent(backend.channel) as raw:
        await submitter.submit(SCRIPT, compute_target=POOL)
        offer = await raw.offer()

    assert not any(each.HasField("run_token") for each in (claimed, renewed, refreshed, offer))
