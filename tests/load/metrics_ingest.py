"""Benchmarks of the ingestion of metrics."""

import asyncio
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import asyncpg
import grpc
import psutil

from runstream_server.rpc import open_channel
from tests.load.backend import Up, backend, backend_of
from tests.load.discarding import METHOD
from tests.load.figures import Figure, cost, rate
from tests.load.light_streams import light_connection
from tests.load.metric_writers import (
    Curves,
    batches,
    cancel_all,
    fill,
    make_runs,
    open_light_streams,
    open_streams,
    own_connection,
    write,
    write_paced,
)
from tests.make_runs import make_run

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

SAMPLES = 5
WRITERS = 4
SERIES = [f"loss/{number}" for number in range(10)]
BATCHES = 40
POINTS = 4_000
COPIED = 200_000
RUNS = 1_000
PERIOD_SECONDS = 0.1
CONNECTIONS = 8
SMALL_CONNECTIONS = RUNS // 2
"""As hosts with two runs each would: the system divides connections, not streams, among processes, and few unevenly."""
SMALL_ACK_SECONDS = 1.0
SMALL_ACCEPTED = 0.995
STORED = 200_000_000
IDLE = 5_000


async def bulk() -> AsyncIterator[Figure]:
    """4 writers x 10 series in large batches, beside a server that discards, and COPY of plain rows."""
    curves = Curves()
    requests = [list(batches(curves, BATCHES, SERIES, POINTS)) for _ in range(WRITERS)]
    stored, discarded, copied = [], [], []
    async with backend() as (up, _), discarding() as sink, AsyncExitStack() as stack:
        channel = await stack.enter_async_context(open_channel(up.address))
        connection = await asyncpg.connect(up.postgres)
        await connection.execute(
            "CREATE TABLE plain (run text, name text, step bigint, value double precision, time timestamptz)"
        )
        await _points_per_second(sink, "none", requests)
        for sample in range(SAMPLES):
            discarded.append(await _points_per_second(sink, "none", requests))
            stored.append(await _points_per_second(channel, await make_run(channel, f"r{sample}"), requests))
            copied.append(await _copied_per_second(connection, curves))
        await connection.close()
    goal = 0.6 * statistics.median(discarded)
    yield rate("metrics.ingest.bulk", "points/s", stored, ("the same into a server that discards", discarded), goal)
    limit = "copy_records_to_table of (run, name, step, value, time)", copied
    yield rate("metrics.ingest.bulk_copy", "points/s", stored, limit, 8 * statistics.median(copied))


async def _points_per_second(channel: grpc.aio.Channel, run: str, requests: Sequence[Sequence[bytes]]) -> float:
    begun = time.perf_counter()
    await asyncio.gather(*(write(channel, run, f"w{number}", each) for number, each in enumerate(requests)))
    return len(requests) * BATCHES * len(SERIES) * POINTS / (time.perf_counter() - begun)


async def _samples(channel: grpc.aio.Channel, name: str, requests: Sequence[Sequence[bytes]]) -> list[float]:
    """Points per second of some runs, one after the other."""
    return [
        await _points_per_second(channel, await make_run(channel, f"{name}-{sample}"), requests)
        for sample in range(SAMPLES)
    ]


async def _copied_per_second(connection: "asyncpg.Connection[asyncpg.Record]", curves: Curves) -> float:
    points = curves.points(COPIED)
    times = points.times.astype("datetime64[us]").tolist()
    values = points.segments[0].array.tolist()
    rows = [("run", "loss", step, value, at) for step, (value, at) in enumerate(zip(values, times, strict=True))]
    begun = time.perf_counter()
    await connection.copy_records_to_table("plain", records=rows)
    return len(rows) / (time.perf_counter() - begun)


async def small(seconds: float = 60.0) -> AsyncIterator[Figure]:
    """1,000 runs that log 10 metrics every 100 ms: what is accepted, how long it takes, the memory of the server.

    The server has a process for each core, as `runstream-server serve --workers` starts them. A value is accepted
    when it is stored, and was acknowledged at the latest a second after the last one was logged. One process has all
    the writers, which in truth are on other machines than the services: so it takes as little of this one as it can,
    and shows how much.
    """
    async with backend_of(os.cpu_count() or 1) as (up, runs):
        async for figure in _small("metrics.ingest.small", up, runs, seconds):
            yield figure


async def small_one(seconds: float = 60.0) -> AsyncIterator[Figure]:
    """As `small`, with the one process of `runstream up`."""
    async with backend() as (up, runs):
        async for figure in _small("metrics.ingest.one", up, runs, seconds):
            yield figure


async def _small(name: str, up: Up, runs: "RunHistoryServiceAsyncStub", seconds: float) -> AsyncIterator[Figure]:
    async with AsyncExitStack() as stack:
        connections = [
            await stack.enter_async_context(light_connection(up.address, METHOD)) for _ in range(SMALL_CONNECTIONS)
        ]
        streams = await open_light_streams(connections, await make_runs(runs, RUNS), "w")
        memory, begun, used = [], time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as tasks:
            writing = [tasks.create_task(write_paced(each, SERIES, seconds, PERIOD_SECONDS)) for each in streams]
            while not all(task.done() for task in writing):
                await asyncio.sleep(1.0)
                memory.append(_largest_memory(up.pid))
        client = (time.process_time() - used) / (time.perf_counter() - begun)
        taken = [task.result() for task in writing]
        stored = await _stored_values(up.postgres)
    offered = RUNS * len(SERIES) * round(seconds / PERIOD_SECONDS)
    accepted = min(stored, _acknowledged_values(taken, seconds + SMALL_ACK_SECONDS)) / seconds
    cuts = [statistics.quantiles(part, n=100) for part in _thirds(taken)]
    limit = "the time between two batches of a run", [PERIOD_SECONDS * 1_000] * 3
    yield cost(f"{name}_ack_p50", "ms", [cut[49] for cut in cuts], limit, None)
    yield cost(f"{name}_ack_p99", "ms", [cut[98] for cut in cuts], limit, SMALL_ACK_SECONDS * 1_000)
    logged = "what is logged", [offered / seconds] * 3
    yield rate(name, "values/s", [accepted] * 3, logged, SMALL_ACCEPTED * offered / seconds)
    yield cost(f"{name}_client", "processors", [client] * 3, ("one", [1.0] * 3), None)
    third = len(memory) // 3
    middle, last = statistics.median(memory[third : 2 * third]), statistics.median(memory[2 * third :])
    yield cost(f"{name}_memory", "MB", [last] * 3, ("in the third before", [middle] * 3), middle * 1.1)


def _largest_memory(server: int) -> float:
    """The MB of the largest process of a server that is no Postgres, nor S3 server."""
    process = psutil.Process(server)
    own = [each for each in process.children() if "runstream" in each.name() or "python" in each.name()]
    workers = [each for each in own if "s3_server" not in " ".join(each.cmdline())]
    return max(each.memory_info().rss for each in [process, *workers]) / 1e6


def _acknowledged_values(taken: Sequence[Sequence[float]], seconds: float) -> int:
    """How many values were acknowledged that long after their stream began, by the milliseconds that each took."""
    in_time = sum(period * PERIOD_SECONDS + each / 1_000 <= seconds for of in taken for period, each in enumerate(of))
    return in_time * len(SERIES)


async def _stored_values(postgres: str) -> int:
    connection = await asyncpg.connect(postgres)
    try:
        count: int = await connection.fetchval("SELECT sum(point_count)::bigint FROM metrics.series")
    finally:
        await connection.close()
    return count


def _thirds(taken: Sequence[Sequence[float]]) -> Sequence[list[float]]:
    """What all streams measured in the first, the second and the last third of their time."""
    return [[each for of in taken for each in of[len(of) * k // 3 : len(of) * (k + 1) // 3]] for k in range(3)]


async def points_size() -> AsyncIterator[Figure]:
    """Bytes of Postgres for each point of training curves, indexes and rows of series included."""
    sizes, plain = [], []
    async with backend() as (up, _), open_channel(up.address) as channel:
        connection = await asyncpg.connect(up.postgres)
        for sample in range(3):
            before = await _metrics_bytes(connection)
            requests = list(batches(Curves(sample), BATCHES, SERIES, POINTS))
            await write(channel, await make_run(channel, f"r{sample}"), "w", requests)
            count = len(requests) * len(SERIES) * POINTS
            sizes.append((await _metrics_bytes(connection) - before) / count)
            plain.append(24.0)
        await connection.close()
    yield cost("metrics.ingest.bytes_per_point", "bytes", sizes, ("step, time and value as they are", plain), 6.0)


async def _metrics_bytes(connection: "asyncpg.Connection[asyncpg.Record]") -> int:
    size: int = await connection.fetchval(
        "SELECT sum(pg_total_relation_size(relid))::bigint FROM pg_stat_user_tables WHERE schemaname = 'metrics'"
    )
    return size


async def filled() -> AsyncIterator[Figure]:
    """The bulk figure with 200 million points stored, beside the same with none."""
    curves = Curves()
    requests = [list(batches(curves, BATCHES, SERIES, POINTS)) for _ in range(WRITERS)]
    async with backend() as (up, _), open_channel(up.address) as channel:
        await _points_per_second(channel, await make_run(channel, "warm"), requests)
        empty = await _samples(channel, "empty", requests)
        connection = await asyncpg.connect(up.postgres)
        await fill(connection, curves, STORED)
        await connection.execute("CHECKPOINT")
        await connection.close()
        full = await _samples(channel, "full", requests)
    limit = "the same into an empty database", empty
    yield rate("metrics.ingest.filled", "points/s", full, limit, 0.9 * statistics.median(empty))


async def idle() -> AsyncIterator[Figure]:
    """What an open stream that says nothing costs the server in memory."""
    async with backend() as (up, runs), AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(own_connection(up.address)) for _ in range(CONNECTIONS)]
        names = await make_runs(runs, 100)
        server = psutil.Process(up.pid)
        costs = []
        for sample in range(SAMPLES):
            before = server.memory_info().rss
            count = IDLE // SAMPLES
            stack.callback(cancel_all, await open_streams(channels, names * (count // len(names)), f"w{sample}-"))
            costs.append((server.memory_info().rss - before) / count / 1024)
    yield cost("metrics.ingest.idle_stream", "KiB", costs, ("the goal", [150.0] * 3), 150.0)


@asynccontextmanager
async def discarding() -> AsyncIterator[grpc.aio.Channel]:
    """A channel to a server that discards."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.load.discarding"), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    try:
        port = (await process.stdout.readline()).decode().strip()
        async with open_channel(f"127.0.0.1:{port}") as channel:
            yield channel
    finally:
        process.kill()
        await process.wait()
