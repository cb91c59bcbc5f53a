"""Benchmarks of the way from `log()` to the services."""

import asyncio
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import grpc

from runstream._spool import RunSpool
from runstream._spool.leaving import EXIT_VARIABLE
from runstream._spool.places import SPOOL_VARIABLE
from runstream.api.metrics.v1.metrics_service_pb2 import (
    FinishMetrics,
    MetricBatch,
    OpenMetrics,
    ReadSeriesRequest,
    SeriesColumns,
    WriteMetricsRequest,
)
from runstream_server.rpc import open_channel
from tests import stubs
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate
from tests.make_runs import make_run

CALLS = 50_000
SAMPLES = 5
ROUNDS = 3
ARRIVALS = 50
PAUSE_SECONDS = 0.1
FLUSH_SECONDS = 60.0
BULK = 200_000

LOGGING = """
import json, os, statistics, sys, time
from runstream._spool import RunSpool

def timed(call):
    taken = []
    for number in range(int(sys.argv[3])):
        begun = time.perf_counter_ns()
        call(number)
        taken.append((time.perf_counter_ns() - begun) / 1_000)
        if number % 100 == 0:
            time.sleep(0.001)
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98], max(taken)

spool = RunSpool.open(sys.argv[1], sys.argv[2])
bare = os.open(sys.argv[4], os.O_WRONLY | os.O_CREAT)
spool.log("loss", 0.0)
record = bytes(37)
written = timed(lambda number: os.write(bare, record))
logged = timed(lambda number: spool.log("loss", 1.0 / (number + 1)))
print(json.dumps([written, logged]))
"""


async def log() -> AsyncIterator[Figure]:
    """One `log()` of a float while the uplink carries, beside a bare write of as many bytes."""
    async with _run() as (address, run, folder):
        for figure in await _logged("log", run, address, folder):
            yield figure


async def log_down() -> AsyncIterator[Figure]:
    """As `log`, while no services answer."""
    async with _run() as (_, run, folder):
        for figure in await _logged("log_down", run, "127.0.0.1:9", folder):
            yield figure


async def log_slow() -> AsyncIterator[Figure]:
    """As `log`, while the services take connections and never say a word."""
    with socket.create_server(("127.0.0.1", 0)) as silent:  # the system takes connections, and nobody reads
        async with _run() as (_, run, folder):
            for figure in await _logged("log_slow", run, f"127.0.0.1:{silent.getsockname()[1]}", folder):
                yield figure


async def _logged(label: str, run: str, address: str, folder: Path) -> list[Figure]:
    samples = [json.loads(await _script(run, address, str(CALLS), str(folder / "bare"))) for _ in range(SAMPLES)]
    figures = []
    for index, name, goal in ((0, "p50", 5.0), (1, "p99", 50.0), (2, "max", None)):
        limit = "the same of a bare write of a record", [written[index] for written, _ in samples]
        figures.append(cost(f"spool.{label}_{name}", "us", [logged[index] for _, logged in samples], limit, goal))
    return figures


async def arrive() -> AsyncIterator[Figure]:
    """From `log()` at a low rate until the value can be read, beside an acknowledgement over an open stream."""
    async with _run() as (address, run, _), open_channel(address) as channel:
        spool = RunSpool.open(run, address)
        spool.log("loss", 0.0)
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
        bounds = [_cuts(await _acknowledgements(channel, run, f"limit-{number}")) for number in range(ROUNDS)]
        cuts = [_cuts(await _arrivals(channel, run, spool, first)) for first in range(1, ROUNDS * ARRIVALS, ARRIVALS)]
        spool.finish()
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    for index, name, goal in ((0, "p50", 60.0), (1, "p99", 250.0)):
        limit = "a batch acknowledged over an open stream", [bound[index] for bound in bounds]
        yield cost(f"spool.arrive_{name}", "ms", [cut[index] for cut in cuts], limit, goal)


async def _arrivals(channel: grpc.aio.Channel, run: str, spool: RunSpool, first: int) -> list[float]:
    """Milliseconds from `log()` until each value can be read."""
    taken = []
    for number in range(first, first + ARRIVALS):
        await asyncio.sleep(PAUSE_SECONDS)
        begun = time.perf_counter()
        spool.log("loss", float(number))
        await _is_stored(channel, run, number)
        taken.append((time.perf_counter() - begun) * 1_000)
    return taken


def _cuts(taken: list[float]) -> tuple[float, float]:
    """Median and 99th percentile."""
    cuts = statistics.quantiles(taken, n=100)
    return cuts[49], cuts[98]


async def carry() -> AsyncIterator[Figure]:
    """What one writer logs as fast as it can, until all is acknowledged, beside the logging alone."""
    logged, carried = [], []
    async with _run() as (address, run, _):
        spool = RunSpool.open(run, address)
        spool.log("loss", 0.0)
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
        for _ in range(SAMPLES):
            begun = time.perf_counter()
            for number in range(BULK):
                spool.log("loss", number / 7)
            logged.append(BULK / (time.perf_counter() - begun))
            await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
            carried.append(BULK / (time.perf_counter() - begun))
        spool.finish()
        await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    yield rate("spool.carry", "values/s", carried, ("log() alone, into the spool", logged), None)


@asynccontextmanager
async def _run() -> AsyncIterator[tuple[str, str, Path]]:
    """A backend, a run of it, and a folder."""
    with TemporaryDirectory(prefix="runstream-bench-", ignore_cleanup_errors=True) as folder:
        os.environ[SPOOL_VARIABLE] = str(Path(folder, "spool"))
        os.environ[EXIT_VARIABLE] = "0"
        async with backend() as (up, _), open_channel(up.address) as channel:
            yield up.address, await make_run(channel), Path(folder)


async def _script(*arguments: str) -> bytes:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", LOGGING, *arguments), stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    return printed


async def _acknowledgements(channel: grpc.aio.Channel, run: str, writer: str) -> list[float]:
    """How many milliseconds batches of one value took to be acknowledged."""
    call: Any = stubs.metrics(channel).WriteMetrics()
    await call.write(WriteMetricsRequest(open=OpenMetrics(run=run, writer=writer)))
    await call.read()
    taken = []
    for sequence in range(1, ARRIVALS + 1):
        series = SeriesColumns(metric="limit", times=[sequence])
        series.doubles.values.append(float(sequence))
        begun = time.perf_counter()
        await call.write(WriteMetricsRequest(batch=MetricBatch(sequence=sequence, series=[series])))
        await call.read()
        taken.append((time.perf_counter() - begun) * 1_000)
    await call.write(WriteMetricsRequest(finish=FinishMetrics()))
    await call.done_writing()
    return taken


async def _is_stored(channel: grpc.aio.Channel, run: str, index: int) -> None:
    request = ReadSeriesRequest(runs=[run], metrics=["loss"], start_index=index)
    found = False
    while not found:
        async for response in stubs.metrics(channel).ReadSeries(request):
            found = found or bool(response.columns.times)
