"""P6: the memory of a server is bounded by what its limits say, whoever does not listen or does not stop talking."""

import asyncio
from contextlib import AsyncExitStack, suppress

import grpc
import numpy as np
import psutil
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.appendstreams import AppendLimits
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import MetricsClient, doubles, metrics_stream
from tests.chaos.conftest import Site
from tests.chaos.scale import SCALE
from tests.make_runs import make_run
from tests.server_process import ServerProcess

KIB, MIB = 1024, 1024 * 1024
IDLE_STREAMS = 200 * SCALE.factor
IDLE_BYTES = 150 * KIB
PUSHING_STREAMS = 24
BATCH_POINTS = 12_000
"""About 190 KiB."""
READERS = 8 * SCALE.factor
READ_POINTS = 1_000_000
PER_READER = 16 * MIB
"""A page of chunks, and messages made of them."""
SLACK = 64 * MIB
PATIENCE_SECONDS = 60.0


def memory_of(server: ServerProcess) -> int:
    """What a server has in memory, in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


async def open_streams(stack: AsyncExitStack, channel: grpc.aio.Channel, run: str, count: int) -> list[MetricsClient]:
    """Streams of writers of a run, which are open."""
    streams = [await stack.enter_async_context(metrics_stream(channel, run, f"w{number}")) for number in range(count)]
    await asyncio.gather(*(stream.opened() for stream in streams))
    return streams


async def test_an_idle_stream_takes_little_memory(config: Config) -> None:
    server = ServerProcess(config)
    async with server.running(), open_channel(server.address) as channel, AsyncExitStack() as stack:
        run = await make_run(channel)
        await open_streams(stack, channel, run, 10)
        before = memory_of(server)
        await open_streams(stack, channel, f"{run}", IDLE_STREAMS)
        assert memory_of(server) - before <= IDLE_STREAMS * IDLE_BYTES


async def test_streams_that_push_while_postgres_stands_still_are_held_back_and_lose_nothing(site: Site) -> None:
    limits = AppendLimits()
    async with open_channel(site.server.address) as channel, AsyncExitStack() as stack:
        run = await make_run(channel)
        streams = await open_streams(stack, channel, run, PUSHING_STREAMS)
        before = memory_of(site.server)
        batches = 2 * limits.budget_bytes // PUSHING_STREAMS // (BATCH_POINTS * 8)
        throttled = asyncio.Event()
        site.postgres.freeze()
        try:
            async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
                for number, stream in enumerate(streams):
                    tasks.create_task(_push(stream, number, batches))
                    tasks.create_task(_listen(stream, batches, throttled))
                await throttled.wait()
                assert memory_of(site.server) - before <= limits.budget_bytes + PUSHING_STREAMS * 2 * MIB + SLACK
                site.postgres.thaw()
        finally:
            site.postgres.thaw()
        response = await stubs.metrics(channel).ListSeries(metrics.ListSeriesRequest(parent=run))
        assert [series.count for series in response.series] == [batches * BATCH_POINTS] * PUSHING_STREAMS


async def _push(stream: MetricsClient, number: int, batches: int) -> None:
    columns = doubles(f"m{number}", np.random.default_rng(number).random(BATCH_POINTS).tolist())  # cannot be compressed
    for sequence in range(1, batches + 1):
        batch = metrics.MetricBatch(sequence=sequence, series=[columns])
        await stream.call.write(metrics.WriteMetricsRequest(batch=batch))


async def _listen(stream: MetricsClient, batches: int, throttled: asyncio.Event) -> None:
    """Takes in what the server says until all is acknowledged."""
    while stream.durable < batches:
        await stream.hear(PATIENCE_SECONDS)
        if metrics.METRICS_NOTICE_KIND_THROTTLED in stream.notices:
            throttled.set()


async def test_readers_that_never_read_are_held_and_others_are_served(config: Config) -> None:
    server = ServerProcess(config)
    async with server.running(), open_channel(server.address) as channel, AsyncExitStack() as stack:
        run = await make_run(channel)
        async with metrics_stream(channel, run) as stream:
            for sequence in range(1, READ_POINTS // BATCH_POINTS + 1):
                await stream.send(sequence, doubles("m", [float(sequence)] * BATCH_POINTS))
            await stream.acknowledged(READ_POINTS // BATCH_POINTS)
            before = memory_of(server)
            for _ in range(READERS):
                silent = await stack.enter_async_context(open_channel(server.address))
                reading = stubs.metrics(silent).ReadSeries(metrics.ReadSeriesRequest(runs=[run]))
                tailing = stubs.metrics(silent).TailSeries(metrics.TailSeriesRequest(runs=[run]))
                assert await reading.read() is not grpc.aio.EOF
                assert await tailing.read() is not grpc.aio.EOF
            await stream.send(READ_POINTS // BATCH_POINTS + 1, doubles("m", [0.0]))
            await stream.acknowledged(READ_POINTS // BATCH_POINTS + 1)
        everything = stubs.metrics(channel).ReadSeries(metrics.ReadSeriesRequest(runs=[run]))
        counts = [len(each.columns.times) async for each in everything]
        assert sum(counts) == READ_POINTS // BATCH_POINTS * BATCH_POINTS + 1
        assert memory_of(server) - before <= 2 * READERS * PER_READER + SLACK


@pytest.mark.parametrize(
    ("megabytes", "code"), [(2, grpc.StatusCode.INVALID_ARGUMENT), (32, grpc.StatusCode.RESOURCE_EXHAUSTED)]
)
async def test_messages_beyond_the_limit_end_their_stream_and_no_other(
    config: Config, megabytes: int, code: grpc.StatusCode
) -> None:
    server = ServerProcess(config)
    options = [("grpc.max_send_message_length", -1)]
    async with (
        server.running(),
        open_channel(server.address) as channel,
        grpc.aio.insecure_channel(server.address, options=options) as large,
    ):
        run = await make_run(channel)
        async with metrics_stream(channel, run) as stream, metrics_stream(large, run, "large") as other:
            await stream.send(1, doubles("m", [1.0]))
            await other.opened()
            before = memory_of(server)
            with suppress(AssertionError):  # as soon as the stream has ended
                for sequence in range(1, 20):
                    await other.send(sequence, doubles("large", [1.0] * (megabytes * MIB // 16)))
            assert (await other.end()).code is code
            assert memory_of(server) - before <= SLACK
            await stream.send(2, doubles("m", [2.0]))
            await stream.acknowledged(2)
