"""Benchmarks of the ingestion of metrics."""

import asyncio
import statistics
import sys
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import asyncpg
import grpc

from runstream_server.rpc import open_channel
from tests.load.backend import backend
from tests.load.figures import Figure, rate
from tests.load.metric_writers import Curves, batches, write
from tests.make_runs import make_run

SAMPLES = 5
WRITERS = 4
SERIES = [f"loss/{number}" for number in range(10)]
BATCHES = 40
POINTS = 4_000
COPIED = 200_000


async def bulk() -> AsyncIterator[Figure]:
    """4 writers x 10 series in large batches, beside a server that discards, and COPY of plain rows."""
    curves = Curves()
    requests = [list(batches(curves, BATCHES, SERIES, POINTS)) for _ in range(WRITERS)]
    stored, discarded, copied = [], [], []
    async with backend() as (up, _), discarding() as sink, AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel(up.address)) for _ in range(1)]
        connection = await asyncpg.connect(up.postgres)
        await connection.execute(
            "CREATE TABLE plain (run text, name text, step bigint, value double precision, time timestamptz)"
        )
        await _points_per_second(sink, "none", requests)
        for sample in range(SAMPLES):
            discarded.append(await _points_per_second(sink, "none", requests))
            stored.append(await _points_per_second(channels[0], await make_run(channels[0], f"r{sample}"), requests))
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


async def _copied_per_second(connection: "asyncpg.Connection[asyncpg.Record]", curves: Curves) -> float:
    points = curves.points(COPIED)
    times = points.times.astype("datetime64[us]").tolist()
    values = points.segments[0].array.tolist()
    rows = [("run", "loss", step, value, at) for step, (value, at) in enumerate(zip(values, times, strict=True))]
    begun = time.perf_counter()
    await connection.copy_records_to_table("plain", records=rows)
    return len(rows) / (time.perf_counter() - begun)


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
