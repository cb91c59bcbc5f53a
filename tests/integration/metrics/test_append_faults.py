"""Append streams when things go wrong between the server and Postgres, and when the server stops."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from urllib.parse import urlsplit

import asyncpg
import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server import app
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import doubles, log_stream, metrics_stream
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.postgres_proxy import Cut, PostgresProxy, postgres_proxy


@pytest.fixture
async def proxy(config: Config) -> AsyncIterator[PostgresProxy]:
    """Stands between `proxied` and its database."""
    async with postgres_proxy(config.postgres.dsn) as opened:
        yield opened


@pytest.fixture
async def proxied(config: Config, proxy: PostgresProxy) -> AsyncIterator[Backend]:
    """All services in this process, which reach their database through `proxy`."""
    async with serve(replace(config, postgres=replace(config.postgres, dsn=proxy.dsn))) as served:
        yield served


async def values_of(backend: Backend, run: str) -> list[float]:
    request = metrics.ReadSeriesRequest(runs=[run], metrics=["m"])
    responses = stubs.metrics(backend.channel).ReadSeries(request)
    return [value async for response in responses for value in response.columns.doubles.values]


async def text_of(backend: Backend, run: str) -> bytes:
    request = logs.ReadLogRequest(run=run, path="user_logs/std_log.txt")
    return b"".join([response.data async for response in stubs.logs(backend.channel).ReadLog(request)])


@pytest.mark.parametrize("cut", Cut)
async def test_a_commit_of_metrics_with_unknown_outcome_is_repeated_and_stored_once(
    proxied: Backend, proxy: PostgresProxy, cut: Cut
) -> None:
    run = await make_run(proxied.channel)
    async with metrics_stream(proxied.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.acknowledged(1)
        proxy.cut(cut, after="marker")
        await stream.send(2, doubles("m", [2.0]), doubles("marker", [2.0]))
        await stream.send(3, doubles("m", [3.0]))
        await stream.acknowledged(3)

    assert proxy.cuts == 1
    assert await values_of(proxied, run) == [1.0, 2.0, 3.0]


@pytest.mark.parametrize("cut", Cut)
async def test_a_commit_of_text_with_unknown_outcome_is_repeated_and_stored_once(
    proxied: Backend, proxy: PostgresProxy, cut: Cut
) -> None:
    run = await make_run(proxied.channel)
    async with log_stream(proxied.channel, run) as stream:
        await stream.send(0, b"one\n")
        await stream.acknowledged(4)
        proxy.cut(cut, after="two\n")
        await stream.send(4, b"two\n")
        await stream.send(8, b"three\n")
        await stream.acknowledged(14)

    assert proxy.cuts == 1
    assert await text_of(proxied, run) == b"one\ntwo\nthree\n"


async def test_appends_of_many_writers_survive_a_kill_of_every_connection(
    backend: Backend, postgres_server: str, run: str
) -> None:
    half = asyncio.Barrier(5)

    async def write(writer: str) -> None:
        async with metrics_stream(backend.channel, run, writer) as stream:
            await stream.opened()
            for sequence in range(1, 51):
                await stream.send(sequence, doubles("m", [sequence]))
                if sequence == 25:
                    await half.wait()
            await stream.acknowledged(50)

    async def kill() -> None:
        await half.wait()
        connection = await asyncpg.connect(postgres_server)
        database = urlsplit(backend.config.postgres.dsn).path[1:]
        await connection.fetch("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database)
        await connection.close()

    await asyncio.gather(kill(), *(write(f"w{n}") for n in range(4)))

    async with serve(backend.config) as other:  # whose connections were not killed
        assert sorted(await values_of(other, run)) == sorted(float(n) for n in range(1, 51) for _ in range(4))


async def test_a_server_that_stops_says_so_acknowledges_what_it_has_and_ends_each_stream(config: Config) -> None:
    async with app.serve(config) as server:
        channel = open_channel(server.address)
        run = await make_run(channel)
        async with metrics_stream(channel, run) as values, log_stream(channel, run) as text:
            await asyncio.gather(values.opened(), text.opened())
            for sequence in range(1, 101):
                await values.send(sequence, doubles("m", [sequence]))
                await text.send((sequence - 1) * 2, b"x\n")
            server.draining.set()
            ends = await asyncio.gather(values.end(), text.end())

            assert [(end.code, end.reason) for end in ends] == [(grpc.StatusCode.UNAVAILABLE, "DRAINING")] * 2
            assert values.notices == [metrics.METRICS_NOTICE_KIND_DRAINING]
            assert text.notices == [logs.LOG_NOTICE_KIND_DRAINING]
        await channel.close()

    async with serve(config) as backend:
        async with metrics_stream(backend.channel, run) as stream:
            assert await stream.opened() == values.durable
        async with log_stream(backend.channel, run) as stream:
            assert await stream.opened() == text.durable


async def test_a_client_that_never_listens_is_held_and_the_others_are_not(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run, "deaf") as deaf, metrics_stream(backend.channel, run) as stream:
        await deaf.opened()
        sending = asyncio.create_task(flood(deaf))
        for sequence in range(1, 20):
            await stream.send(sequence, doubles("m", [sequence]))
            await stream.acknowledged(sequence)
        sending.cancel()

    assert len(await values_of(backend, run)) == 19


async def flood(stream: object) -> None:
    """Sends refused series, each of which is reported back, and reads nothing."""
    for sequence in range(1, 1_000_000):
        await stream.send(sequence, *[doubles("", [1.0])] * 1_000)  # type: ignore[attr-defined]
