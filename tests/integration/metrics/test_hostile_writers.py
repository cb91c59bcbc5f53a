"""Bad input on WriteMetrics: refused clearly, and the stream, or at least the server, lives on."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import grpc

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests.append_clients import MetricsClient, doubles, metrics_stream
from tests.conftest import Backend

THROTTLED = messages.METRICS_NOTICE_KIND_THROTTLED


async def test_a_message_of_64_mib_is_refused_and_what_came_before_is_kept(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, doubles("m", [1.0]))
        await stream.acknowledged(1)
    raw = grpc.aio.insecure_channel(backend.address)
    call: Any = raw.stream_stream("/runstream.api.metrics.v1.MetricsService/WriteMetrics")()
    opened = messages.WriteMetricsRequest(open=messages.OpenMetrics(run=run, writer="writer"))
    await call.write(opened.SerializeToString())
    await call.read()
    await call.write(bytes(64 * 1024 * 1024))
    assert await call.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await raw.close()

    async with metrics_stream(backend.channel, run) as stream:
        assert await stream.opened() == 1
        await stream.send(2, doubles("m", [2.0]))
        await stream.acknowledged(2)


async def test_more_refusals_than_one_message_carries_all_arrive(backend: Backend, run: str) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *[doubles("", [1.0])] * 5_001, doubles("good", [1.0]))
        await stream.send(2, doubles("good", [2.0]))
        await stream.acknowledged(2)

        assert len(stream.refusals) == 5_001
        assert {(each.sequence, each.reason) for each in stream.refusals} == {(1, "INVALID_NAME")}
        assert stream.acknowledgements == sorted(stream.acknowledgements)


async def test_a_batch_of_200_000_names_is_refused_in_a_word_and_the_stream_lives_on(
    backend: Backend, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *[messages.SeriesColumns()] * 200_000)
        await stream.send(2, doubles("good", [2.0]))
        await stream.acknowledged(2)

        assert stream.refusals[-1].reason == "TOO_MANY_SERIES"
        assert len(stream.refusals) == 10_001


async def test_writers_are_told_when_the_server_cannot_commit_and_held_until_it_can(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    texts = messages.SeriesColumns(
        metric="m", times=range(100), strings=messages.StringValues(values=["x" * 10_000] * 100)
    )
    batches, throttled = 20, asyncio.Event()

    async def listen(stream: MetricsClient) -> None:
        while stream.durable < batches:
            await stream.hear()
            assert not stream.ended
            if THROTTLED in stream.notices:
                throttled.set()

    async def send(stream: MetricsClient) -> None:
        for sequence in range(1, batches + 1):
            await stream.send(sequence, texts)

    async with AsyncExitStack() as stack, asyncio.TaskGroup() as tasks:
        streams = [await stack.enter_async_context(metrics_stream(backend.channel, run, f"w{n}")) for n in range(5)]
        for stream in streams:
            await stream.opened()
        async with postgres.transaction() as connection:
            await connection.execute("SELECT FROM metrics.writer FOR UPDATE")
            for stream in streams:
                tasks.create_task(listen(stream))
                tasks.create_task(send(stream))
            async with asyncio.timeout(30):
                await throttled.wait()
    assert [stream.durable for stream in streams] == [batches] * 5
