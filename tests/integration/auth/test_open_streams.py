"""Streams end soon after what opened them is no longer taken."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import agent_pb2, compute_target_pb2
from runstream.api.jobs.v1 import job_service_pb2 as jobs
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server.auth import Role
from runstream_server.config import Config
from tests import stubs
from tests.append_clients import Failure, failure_of
from tests.guarded import TIMEOUT, Guarded, guarded_services, outcome
from tests.make_runs import WORKSPACE, make_run

RUN = f"{WORKSPACE}/runs/run"
POOL = f"{WORKSPACE}/computeTargets/pool"


@pytest.fixture
async def quick(config: Config) -> AsyncIterator[Guarded]:
    """Services that look again all the time, with a run and a pool of agents."""
    async with guarded_services(config, check_seconds=0.02) as guarded:
        await make_run(guarded.channel)
        target = jobs.ComputeTarget(kind=jobs.COMPUTE_TARGET_KIND_AGENT_POOL, agent_pool=compute_target_pb2.AgentPool())
        await stubs.jobs(guarded.channel).CreateComputeTarget(
            jobs.CreateComputeTargetRequest(parent=WORKSPACE, compute_target=target, compute_target_id="pool")
        )
        yield guarded


async def write_metrics(channel: grpc.aio.Channel) -> Any:
    call = stubs.metrics(channel).WriteMetrics(timeout=TIMEOUT)
    await call.write(metrics.WriteMetricsRequest(open=metrics.OpenMetrics(run=RUN, writer=uuid.uuid4().hex)))
    await call.read()
    return call


async def write_log(channel: grpc.aio.Channel) -> Any:
    call = stubs.logs(channel).WriteLog(timeout=TIMEOUT)
    path = f"user_logs/{uuid.uuid4().hex}.txt"
    await call.write(logs.WriteLogRequest(open=logs.OpenLog(run=RUN, path=path, writer="writer")))
    await call.read()
    return call


async def watch_runs(channel: grpc.aio.Channel) -> Any:
    call = stubs.run_history(channel).WatchRuns(runs.WatchRunsRequest(parent=WORKSPACE, names=[RUN]), timeout=TIMEOUT)
    await call.read()
    return call


async def tail_series(channel: grpc.aio.Channel) -> Any:
    return stubs.metrics(channel).TailSeries(metrics.TailSeriesRequest(runs=[RUN]), timeout=TIMEOUT)


async def tail_log(channel: grpc.aio.Channel) -> Any:
    return stubs.logs(channel).TailLog(logs.TailLogRequest(run=RUN, path="user_logs/std_log.txt"), timeout=TIMEOUT)


async def upload_blob(channel: grpc.aio.Channel) -> Any:
    begin = artifacts.BeginUploadRequest(parent=WORKSPACE, size_bytes=20 << 20, multipart=True)
    upload = await stubs.artifacts(channel).BeginUpload(begin)
    call = stubs.artifacts(channel).UploadBlob(timeout=TIMEOUT)
    start = artifacts.UploadBlobStart(parent=WORKSPACE, upload_id=upload.upload_id)
    await call.write(artifacts.UploadBlobRequest(start=start))
    return call


async def connect_agent(channel: grpc.aio.Channel) -> Any:
    call = stubs.jobs(channel).ConnectAgent(timeout=TIMEOUT)
    agent = agent_pb2.Agent(name=f"{POOL}/agents/agent", slots=1)
    await call.write(agent_pb2.ConnectAgentRequest(hello=agent_pb2.AgentHello(agent=agent)))
    await call.read()
    return call


OF_RUN = [write_metrics, write_log, watch_runs, tail_series, tail_log, upload_blob]
STREAMS = [*OF_RUN, connect_agent]


async def end_of(call: Any) -> Failure:
    """How a call ends, whatever it says until then."""
    async with asyncio.timeout(TIMEOUT):
        with suppress(grpc.aio.AioRpcError):
            while hasattr(call, "read") and await call.read() is not grpc.aio.EOF:
                pass
        await call.code()
    return await failure_of(call)


@pytest.mark.parametrize("open_stream", STREAMS)
async def test_a_revoked_token_ends_its_streams(quick: Guarded, open_stream: Callable[..., Any]) -> None:
    token, secret = await quick.token(Role.WRITER)
    call = await open_stream(await quick.showing(secret))
    other = await open_stream(await quick.calling(Role.WRITER)) if open_stream is not connect_agent else None

    await quick.tokens.revoke(token.name)
    failure = await end_of(call)

    assert (failure.code, failure.reason) == (grpc.StatusCode.UNAUTHENTICATED, "TOKEN_REVOKED")
    assert other is None or not other.done()


@pytest.mark.parametrize("open_stream", OF_RUN)
async def test_a_deleted_run_ends_the_streams_of_its_tokens(quick: Guarded, open_stream: Callable[..., Any]) -> None:
    call = await open_stream(await quick.calling(Role.RUN, run="run"))

    await stubs.run_history(quick.channel).DeleteRuns(runs.DeleteRunsRequest(parent=WORKSPACE, names=[RUN]))
    failure = await end_of(call)

    assert failure.code is grpc.StatusCode.NOT_FOUND
    assert failure.reason in ("RUN_NOT_FOUND", "WORKSPACE_NOT_FOUND")  # this when it was deleted before the first look


async def test_a_revoked_token_is_refused_by_every_replica(quick: Guarded, config: Config) -> None:
    token, secret = await quick.token(Role.READER)
    get = runs.GetRunRequest(name=RUN)
    async with guarded_services(config, check_seconds=0.02) as replica:
        stub = stubs.run_history(await replica.showing(secret))
        before = await outcome(stub.GetRun(get))
        await quick.tokens.revoke(token.name)
        async with asyncio.timeout(TIMEOUT):
            while (after := await outcome(stub.GetRun(get))) == "OK":
                pass

    assert (before, after) == ("OK", "UNAUTHENTICATED TOKEN_REVOKED")


async def test_it_is_known_when_a_token_was_used_last(quick: Guarded) -> None:
    channel = await quick.calling(Role.ADMIN)
    stub = stubs.run_history(channel)

    async with asyncio.timeout(TIMEOUT):
        while True:
            own = (await stub.ListTokens(runs.ListTokensRequest(parent=WORKSPACE))).tokens[0]
            if own.HasField("last_use_time"):
                break

    assert own.last_use_time.ToDatetime() >= own.create_time.ToDatetime()
