"""Benchmarks of writing logs and of following them."""

import asyncio
import statistics
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack

import grpc

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.rpc import open_channel
from tests import stubs
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate
from tests.load.log_text import acknowledged, chunks, open_log, write_log
from tests.load.metric_writers import make_runs, own_connection
from tests.load.metrics_ingest import discarding
from tests.load.server_costs import costs_of
from tests.make_runs import make_run

SAMPLES = 5
WRITERS = 4
CHUNKS = 100
CHUNK_BYTES = 256 * 1024
GOAL_MEGABYTES = 100.0
MEMORY_GOAL = 256.0

RUNS = 100
LINES = 100
PERIOD_SECONDS = 0.2
CONNECTIONS = 4


async def ingest() -> AsyncIterator[Figure]:
    """4 writers of 26 MB of text each, until all is durable, beside a server that discards."""
    requests = [chunks(CHUNKS, CHUNK_BYTES, seed) for seed in range(WRITERS)]
    stored, discarded, cpu, memory = [], [], [], []
    async with backend() as (up, _), discarding() as sink, AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(up.address))
        await _megabytes_per_second(sink, "none", requests)
        await _megabytes_per_second(channel, await make_run(channel, "warm"), requests)
        for sample in range(SAMPLES):
            discarded.append(await _megabytes_per_second(sink, "none", requests))
            run = await make_run(channel, f"r{sample}")
            async with costs_of(up.pid) as costs:
                stored.append(await _megabytes_per_second(channel, run, requests))
            cpu.append(costs.cpu_seconds / (WRITERS * CHUNKS * CHUNK_BYTES / 1e9))
            memory.append(costs.most_megabytes)
    goal = min(GOAL_MEGABYTES, 0.6 * statistics.median(discarded))
    yield rate("logs.ingest", "MB/s", stored, ("the same into a server that discards", discarded), goal)
    yield cost("logs.ingest_cpu", "s/GB", cpu, ("none", [1.0] * 3), None)
    yield cost("logs.ingest_memory", "MB", memory, ("the goal", [MEMORY_GOAL] * 3), MEMORY_GOAL)


async def _megabytes_per_second(channel: grpc.aio.Channel, run: str, requests: Sequence[Sequence[bytes]]) -> float:
    begun = time.perf_counter()
    size = CHUNKS * CHUNK_BYTES
    writing = (write_log(channel, run, each, size, f"user_logs/{number}.txt") for number, each in enumerate(requests))
    await asyncio.gather(*writing)
    return len(requests) * size / (time.perf_counter() - begun) / 1e6


async def tail() -> AsyncIterator[Figure]:
    """100 runs that print a line five times a second, each followed: from the line to its reader."""
    async with backend() as (up, runs), AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(own_connection(up.address)) for _ in range(CONNECTIONS)]
        names = await make_runs(runs, RUNS)
        async with costs_of(up.pid) as costs, asyncio.TaskGroup() as tasks:
            followed = [
                tasks.create_task(_follow(channels[place % CONNECTIONS], run)) for place, run in enumerate(names)
            ]
    taken = [task.result() for task in followed]
    thirds = [[each for of in taken for each in of[LINES * k // 3 : LINES * (k + 1) // 3]] for k in range(3)]
    cuts = [statistics.quantiles(part, n=100) for part in thirds]
    limit = "the time between two lines of a run", [PERIOD_SECONDS * 1_000] * 3
    yield cost("logs.tail_p50", "ms", [cut[49] for cut in cuts], limit, 60.0)
    yield cost("logs.tail_p99", "ms", [cut[98] for cut in cuts], limit, 250.0)
    yield cost(
        "logs.tail_cpu", "s/1000 lines", [costs.cpu_seconds / (RUNS * LINES) * 1e3] * 3, ("none", [1.0] * 3), None
    )
    yield cost("logs.tail_memory", "MB", [costs.most_megabytes] * 3, ("the goal", [MEMORY_GOAL] * 3), MEMORY_GOAL)


async def _follow(channel: grpc.aio.Channel, run: str) -> Sequence[float]:
    """Prints lines and reads them; returns how many milliseconds each took."""
    call = await open_log(channel, run)
    path = "user_logs/std_log.txt"
    tailing = stubs.logs(channel).TailLog(messages.TailLogRequest(run=run, path=path))
    sent: dict[int, float] = {}
    taken: list[float] = []

    async def read() -> None:
        async for message in tailing:
            now = time.perf_counter()
            ends = [end for end in sent if end <= message.offset + len(message.data)]
            taken.extend((now - sent.pop(end)) * 1_000 for end in ends)
            if len(taken) == LINES:
                return

    async with asyncio.TaskGroup() as tasks:
        reading = tasks.create_task(read())
        offset = 0
        begun = time.perf_counter() + (hash(run) % 1_000) / 1_000 * PERIOD_SECONDS
        for number in range(LINES):
            await asyncio.sleep(begun + number * PERIOD_SECONDS - time.perf_counter())
            data = b"step %d of %d: loss=%.4f, and the rest of a line that somebody prints\n" % (number, LINES, 0.5)
            sent[offset + len(data)] = time.perf_counter()
            chunk = messages.LogChunk(offset=offset, data=data)
            await call.write(messages.WriteLogRequest(chunk=chunk).SerializeToString())
            offset += len(data)
            await acknowledged(call, offset)
        await reading
    tailing.cancel()
    call.cancel()
    return taken
