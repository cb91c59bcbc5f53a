"""Benchmarks of reading metrics."""

import asyncio
import os
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import asyncpg
import grpc
import numpy as np

from runstream._spool import RunSpool
from runstream._spool.places import SPOOL_VARIABLE
from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1.run_history_service_pb2 import CompleteRunRequest
from runstream_server.rpc import open_channel
from tests import stubs
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate
from tests.load.metric_writers import WORKSPACE, Curves, batches, fill_runs, write
from tests.load.replaying import record, replaying
from tests.make_runs import make_run

POINTS = 1_000_000
BATCH_POINTS = 20_000
RUNS = 20
SAMPLES = 7
ACTIVE_RUNS = 100
LATEST_RUNS = 1_000
LATEST_METRICS = 10
TAIL_ROUNDS = 5
TAIL_SAMPLES = 200
PAUSE_SECONDS = 0.005
FLUSH_SECONDS = 60.0
SEAL_SECONDS = 300.0
_Stored: TypeAlias = tuple[grpc.aio.Channel, str, list[str], Path]
SEAL_AT_ONCE = {"RUNSTREAM_SEAL_QUIET_SECONDS": "0.1", "RUNSTREAM_MAINTENANCE_SHARE": "1"}


async def series() -> AsyncIterator[Figure]:
    """One series of a million points, beside the same messages from a server that has them ready."""
    async with _stored(1) as (channel, _, runs, folder):
        request = messages.ReadSeriesRequest(runs=runs)
        stored = [response async for response in stubs.metrics(channel).ReadSeries(request)]
        record(folder / "series", [response.SerializeToString() for response in stored])
        async with replaying(folder / "series") as bare:
            limits, reads = await _alternating(lambda: _read(bare, request), lambda: _read(channel, request))
    limit = "the same messages without a store", [POINTS / seconds for seconds in limits]
    yield rate("metrics.read.series", "points/s", [POINTS / seconds for seconds in reads], limit, 5_000_000)


async def compare(*, sealed: bool = False) -> AsyncIterator[Figure]:
    """Twenty series of a million points thinned to a thousand each, beside the same answer ready-made."""
    async with _stored(RUNS, sealed=sealed) as (channel, _, runs, folder):
        request = messages.CompareSeriesRequest(runs=runs, metrics=["loss"], max_points=1_000)
        thinned = [response async for response in stubs.metrics(channel).CompareSeries(request)]
        if [response.count for response in thinned] != [POINTS] * RUNS:
            raise RuntimeError("points are missing")
        record(folder / "compared", [response.SerializeToString() for response in thinned])
        async with replaying(folder / "compared") as bare:
            limits, taken = await _alternating(lambda: _compare(bare, request), lambda: _compare(channel, request))
    limit = "the same answer without a store", [1_000 * seconds for seconds in limits]
    name = "metrics.read.compare_sealed" if sealed else "metrics.read.compare"
    yield cost(name, "ms", [1_000 * seconds for seconds in taken], limit, 250)


def compare_sealed() -> AsyncIterator[Figure]:
    """The same of runs that are sealed."""
    return compare(sealed=True)


async def latest(*, first: bool = False) -> AsyncIterator[Figure]:
    """The latest values of ten metrics of a thousand runs, beside the same answer ready-made."""
    async with _stored(0) as (channel, postgres, _, folder):
        connection = await asyncpg.connect(postgres)
        ids = [f"run-{number}" for number in range(LATEST_RUNS)]
        await fill_runs(connection, Curves(), ids, [f"loss/{number}" for number in range(LATEST_METRICS)])
        request = messages.ReadLatestValuesRequest(runs=[f"{WORKSPACE}/runs/{each}" for each in ids])

        async def read() -> None:
            if first:
                await connection.execute("TRUNCATE metrics.latest_value")
            await _read_latest(channel, request)

        answer = [response async for response in stubs.metrics(channel).ReadLatestValues(request)]
        record(folder / "latest", [response.SerializeToString() for response in answer])
        async with replaying(folder / "latest") as bare:
            limits, taken = await _alternating(lambda: _read_latest(bare, request), read)
        await connection.close()
    limit = "the same answer without a store", [1_000 * seconds for seconds in limits]
    name, goal = ("metrics.read.latest_first", 2_000) if first else ("metrics.read.latest", 250)
    yield cost(name, "ms", [1_000 * seconds for seconds in taken], limit, goal)


def latest_first() -> AsyncIterator[Figure]:
    """The same of runs that nobody asked about before and that are not sealed: all values are decoded."""
    return latest(first=True)


async def tail() -> AsyncIterator[Figure]:
    """From `log()` to a client of TailSeries with 100 runs that log, beside the time until a value is stored."""
    with TemporaryDirectory(prefix="runstream-bench-", ignore_cleanup_errors=True) as folder:
        os.environ[SPOOL_VARIABLE] = str(Path(folder, "spool"))
        async with backend() as (up, _), open_channel(up.address) as channel:
            runs = [await make_run(channel, f"run-{number}") for number in range(ACTIVE_RUNS)]
            spools = [RunSpool.open(run, up.address) for run in runs]
            cuts = await _tail_rounds(channel, runs, spools)
            for spool in spools:
                spool.finish()
            await asyncio.to_thread(spools[0].flush, FLUSH_SECONDS)
    limits, tails = zip(*cuts, strict=True)
    for index, name, goal in ((0, "p50", 60.0), (1, "p99", 250.0)):
        limit = "log() until flush() returns, no other run active", [cut[index] for cut in limits]
        yield cost(f"metrics.read.tail_{name}", "ms", [cut[index] for cut in tails], limit, goal)


async def _tail_rounds(
    channel: grpc.aio.Channel, runs: Sequence[str], spools: Sequence[RunSpool]
) -> list[tuple[tuple[float, float], tuple[float, float]]]:
    """Median and 99th percentile in ms, of the limit and of the tail, for each round."""
    for spool in spools:
        spool.log("loss", 0.0)
    await asyncio.to_thread(spools[0].flush, FLUSH_SECONDS)
    call: Any = stubs.metrics(channel).TailSeries(messages.TailSeriesRequest(runs=runs, from_now=True))
    for _ in runs:
        await call.read()
    rounds = []
    for _ in range(TAIL_ROUNDS):
        flushed = [await asyncio.to_thread(_flush_milliseconds, spools[0]) for _ in range(20)]
        rounds.append((_cuts(flushed), _cuts(await _tail_delays(call, spools))))
    call.cancel()
    return rounds


def _flush_milliseconds(spool: RunSpool) -> float:
    begun = time.perf_counter()
    spool.log("flushed", 0.0)
    spool.flush(FLUSH_SECONDS)
    return (time.perf_counter() - begun) * 1_000


async def _tail_delays(call: Any, spools: Sequence[RunSpool]) -> list[float]:
    """Milliseconds from `log()` of each value, which is the time it is logged at, to the tail; the runs take turns."""

    async def log() -> None:
        for number in range(TAIL_SAMPLES):
            spools[number % len(spools)].log("loss", time.perf_counter())
            await asyncio.sleep(PAUSE_SECONDS)

    delays: list[float] = []
    logging = asyncio.create_task(log())
    while len(delays) < TAIL_SAMPLES:
        values = (await call.read()).values
        if values.columns.metric == "loss":
            now = time.perf_counter()
            delays.extend((now - logged) * 1_000 for logged in values.columns.doubles.values)
    await logging
    return delays


def _cuts(taken: Sequence[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


@asynccontextmanager
async def _stored(run_count: int, *, sealed: bool = False) -> AsyncIterator[_Stored]:
    """A backend with a long series in each of some runs: a channel, the DSN of its database, the runs, and a folder."""
    os.environ.update(SEAL_AT_ONCE if sealed else {})
    with TemporaryDirectory(prefix="runstream-bench-") as folder:
        async with backend() as (up, history), open_channel(up.address) as channel:
            runs = [await make_run(channel, f"run-{number}") for number in range(run_count)]
            curves = Curves()
            for run in runs:
                sent = list(batches(curves, POINTS // BATCH_POINTS, ["loss"], BATCH_POINTS))
                await write(channel, run, "writer", sent)
                if sealed:
                    await history.CompleteRun(CompleteRunRequest(name=run))
            if sealed:
                await _until_sealed(up.postgres)
            yield channel, up.postgres, runs, Path(folder)
    for variable in SEAL_AT_ONCE:
        os.environ.pop(variable, None)


async def _until_sealed(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    async with asyncio.timeout(SEAL_SECONDS):
        while await connection.fetchval("SELECT (SELECT count(*) FROM metrics.chunk) FROM pg_sleep(0.5)"):
            """Runs are sealed one after the other."""
    await connection.close()


async def _alternating(
    limit: Callable[[], Awaitable[None]], measured: Callable[[], Awaitable[None]]
) -> tuple[list[float], list[float]]:
    """Seconds of each of two things, done in turn; the first time does not count."""
    taken: tuple[list[float], list[float]] = ([], [])
    for sample in range(SAMPLES + 1):
        for seconds, call in zip(taken, (limit, measured), strict=True):
            begun = time.perf_counter()
            await call()
            if sample:
                seconds.append(time.perf_counter() - begun)
    return taken


async def _read(channel: grpc.aio.Channel, request: messages.ReadSeriesRequest) -> None:
    """Takes a series in, as columns of numpy."""
    count = 0
    async for response in stubs.metrics(channel).ReadSeries(request):
        columns = response.columns
        steps, times = np.asarray(columns.steps), np.asarray(columns.times)
        values = np.asarray(columns.doubles.values)
        if not len(steps) == len(times) == len(values):
            raise RuntimeError("columns of unequal length")
        count += len(values)
    if count != POINTS:
        raise RuntimeError(f"{count} points")


async def _read_latest(channel: grpc.aio.Channel, request: messages.ReadLatestValuesRequest) -> None:
    count = 0
    async for response in stubs.metrics(channel).ReadLatestValues(request):
        count += len(response.values)
    if count != LATEST_RUNS * LATEST_METRICS:
        raise RuntimeError(f"{count} values")


async def _compare(channel: grpc.aio.Channel, request: messages.CompareSeriesRequest) -> None:
    count = 0
    async for response in stubs.metrics(channel).CompareSeries(request):
        count += len(np.asarray(response.values))
    if not count:
        raise RuntimeError("no points")
