"""Services show each other a key; who does not have it is nobody."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server import app
from runstream_server.auth import Role
from runstream_server.auth_config import AuthConfig
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.artifact_calls import Calls
from tests.guarded import SERVICE_KEY, Guarded, guarded_services, outcome
from tests.make_runs import make_run, make_workspace

REST = ("metrics", "logs", "artifacts", "jobs")


@asynccontextmanager
async def others(config: Config, guarded: Guarded, key: str) -> AsyncIterator[str]:
    """All services but the run history, in what could be another process; their address."""
    auth = AuthConfig(required=True, service_key=key)
    async with app.serve(replace(config, auth=auth), REST, peers=guarded.address) as server:
        yield server.address


async def test_services_with_the_same_key_reach_each_other(config: Config) -> None:
    async with guarded_services(config) as guarded, others(config, guarded, SERVICE_KEY) as address:
        await make_workspace(guarded.channel)
        _, secret = await guarded.token(Role.WRITER)
        async with open_channel(address, secret=secret) as channel:
            assert len(await Calls(channel).store(b"the run history is asked for the workspace")) == 1


async def test_a_service_with_another_key_does_nothing(config: Config) -> None:
    async with guarded_services(config) as guarded, others(config, guarded, "another key " * 4) as address:
        await make_workspace(guarded.channel)
        _, secret = await guarded.token(Role.WRITER)
        async with open_channel(address, secret=secret) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as failed:
                await Calls(channel).store(b"bytes")

    assert failed.value.code() is grpc.StatusCode.INTERNAL


async def test_only_services_hand_over_summaries_of_metrics(config: Config) -> None:
    async with guarded_services(config) as guarded:
        run = await make_run(guarded.channel)
        request = runs.RecordMetricSummariesRequest(runs=[runs.RunMetricSummaries(run=run)])
        as_service = stubs.run_history(await guarded.showing(SERVICE_KEY))

        assert await outcome(as_service.RecordMetricSummaries(request)) == "INVALID_ARGUMENT INVALID_FIELD"
        assert await outcome(stubs.run_history(guarded.channel).RecordMetricSummaries(request)) == (
            "PERMISSION_DENIED ROLE_TOO_SMALL"
        )
