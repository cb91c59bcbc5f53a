"""Benchmarks of the run history."""

import asyncio
import random
import statistics
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, Protocol

import asyncpg
import grpc

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_pb2 import MetricSummary, Run
from runstream.api.runs.v1.workspace_pb2 import Tag
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

WORKSPACE = "workspaces/default"
SERVICE = "/runstream.api.runs.v1.RunHistoryService/"
CHECK = "/grpc.health.v1.Health/Check"
CONNECTIONS = 16
SAMPLES = 5
SECONDS = 2.0
BATCH = 10_000
PAGE = 50

DEADLINE_SECONDS = 15.0


class Call(Protocol):
    """A method on serialized messages."""

    def __call__(self, request: bytes, *, timeout: float | None = None) -> Awaitable[bytes]: ...


async def create(seconds: float = SECONDS) -> AsyncIterator[Figure]:
    """Single CreateRun over 16 connections, beside calls that do nothing over the same connections."""
    async with backend() as (up, runs):
        experiment = await _experiment(runs, "create")
        request = api.CreateRunRequest(parent=WORKSPACE, run=_run(experiment, 0), start=True).SerializeToString()
        async with AsyncExitStack() as stack:
            channels = [await stack.enter_async_context(_own_connection(up.address)) for _ in range(CONNECTIONS)]
            creates = [_method(channel, SERVICE + "CreateRun") for channel in channels]
            checks = [_method(channel, CHECK) for channel in channels]
            await _calls_per_second(creates, request, seconds)
            made, empty = [], []
            for _ in range(SAMPLES):
                empty.append(await _calls_per_second(checks, b"", seconds))
                made.append(await _calls_per_second(creates, request, seconds))
    yield rate("runs.create", "runs/s", made, ("empty calls over the same connections", empty), 1_500)


async def batch_create() -> AsyncIterator[Figure]:
    """BatchCreateRuns of 10,000, beside COPY of their ids into a table with the same key and nothing else."""
    async with backend() as (up, runs):
        experiment = await _experiment(runs, "batch")
        made, copied = [], []
        connection = await asyncpg.connect(up.postgres)
        await connection.execute("CREATE TABLE bare (workspace text, run text, tag text, PRIMARY KEY (workspace, run))")
        for sample in range(SAMPLES):
            request = _batch(experiment, range(sample * BATCH, (sample + 1) * BATCH))
            begun = time.perf_counter()
            response = await runs.BatchCreateRuns(request)
            made.append(len(response.runs) / (time.perf_counter() - begun))
            rows = [("default", run.name, run.tags[0].value) for run in response.runs]
            begun = time.perf_counter()
            await connection.copy_records_to_table("bare", records=rows)
            copied.append(len(rows) / (time.perf_counter() - begun))
        await connection.close()
    yield rate("runs.batch_create", "runs/s", made, ("COPY of (workspace, run, tag) rows", copied), 20_000)


async def get() -> AsyncIterator[Figure]:
    """GetRun, one after the other, beside calls that do nothing."""
    async with backend() as (up, runs):
        experiment = await _experiment(runs, "get")
        created = await runs.CreateRun(api.CreateRunRequest(parent=WORKSPACE, run=_run(experiment, 0)))
        request = api.GetRunRequest(name=created.run.name).SerializeToString()
        async with _own_connection(up.address) as channel:
            one = _method(channel, SERVICE + "GetRun")
            nothing = _method(channel, CHECK)
            taken, empty = [], []
            for _ in range(SAMPLES):
                empty.append(await _p50_milliseconds(lambda: nothing(b""), 300))
                taken.append(await _p50_milliseconds(lambda: one(request), 300))
    yield cost("runs.get", "ms p50", taken, ("empty calls", empty), None)


async def list_by_metric() -> AsyncIterator[Figure]:
    """ListRuns with a tag and a metric filter, ordered by the metric, beside BatchGetRuns of as many runs by name."""
    async with backend() as (_, runs):
        experiment = await _experiment(runs, "list")
        await _fill(runs, experiment, range(10_000))
        small, _ = await _list_latencies(runs)
        await _fill(runs, experiment, range(10_000, 100_000))
        large, by_name = await _list_latencies(runs)
    limit = (f"BatchGetRuns of {PAGE} runs by name", by_name)
    yield cost("runs.list", "ms p50", large, limit, 15)
    growth = [one / statistics.median(small) for one in large]
    yield cost("runs.list.growth", "x from 10,000 to 100,000 runs", growth, ("no growth", [1.0]), 1.5)


async def watch() -> AsyncIterator[Figure]:
    """From the answer of a change, which follows its commit, to the watcher, beside the change itself."""
    async with backend() as (_, runs):
        experiment = await _experiment(runs, "watch")
        created = await runs.CreateRun(api.CreateRunRequest(parent=WORKSPACE, run=_run(experiment, 0), start=True))
        stream = runs.WatchRuns(api.WatchRunsRequest(parent=WORKSPACE, names=[created.run.name]))
        await stream.read()
        delays, calls = [], []
        for _ in range(SAMPLES):
            delay, call = await _watch_delays(runs, stream, created.run.name, 60)
            delays.append(delay)
            calls.append(call)
        stream.cancel()
    yield cost("runs.watch", "ms p50", delays, ("the call that makes the change", calls), 20)


async def _watch_delays(runs: "RunHistoryServiceAsyncStub", stream: Any, name: str, count: int) -> tuple[float, float]:
    """Medians in ms: from just before the commit can happen to the watcher's message, and of the call itself.

    The time of the commit itself is not seen from outside; counting from the start of the call errs against us.
    """
    delays, calls = [], []
    for number in range(count):
        begun = time.perf_counter()
        call = asyncio.ensure_future(
            runs.ModifyTags(api.ModifyTagsRequest(name=name, set=[Tag(key="n", value=f"{random.random()}{number}")]))
        )
        while not (await stream.read()).changes:
            """An idle message."""
        delays.append((time.perf_counter() - begun) * 1000)
        await call
        calls.append((time.perf_counter() - begun) * 1000)
    return statistics.median(delays), statistics.median(calls)


async def _list_latencies(runs: "RunHistoryServiceAsyncStub") -> tuple[list[float], list[float]]:
    request = api.ListRunsRequest(
        parent=WORKSPACE,
        filter='tags.model = "resnet-3" AND metrics.loss.last < 0.9',
        order_by="metrics.loss.last",
        page_size=PAGE,
    )
    found = await runs.ListRuns(request)
    if len(found.runs) != PAGE:
        raise RuntimeError(f"found {len(found.runs)} runs, not a page of {PAGE}")
    names = api.BatchGetRunsRequest(parent=WORKSPACE, names=[run.name for run in found.runs])
    listed, by_name = [], []
    for _ in range(SAMPLES):
        by_name.append(await _p50_milliseconds(lambda: runs.BatchGetRuns(names), 50))
        listed.append(await _p50_milliseconds(lambda: runs.ListRuns(request), 50))
    return listed, by_name


async def _fill(runs: "RunHistoryServiceAsyncStub", experiment: str, numbers: range) -> None:
    """Makes runs with a tag of ten values and two metrics each."""
    chance = random.Random(numbers.start)
    for start in range(numbers.start, numbers.stop, BATCH):
        response = await runs.BatchCreateRuns(_batch(experiment, range(start, start + BATCH)))
        for first in range(0, BATCH, 1_000):
            await runs.RecordMetricSummaries(
                api.RecordMetricSummariesRequest(
                    runs=[
                        api.RunMetricSummaries(
                            run=run.name, summaries=[_summary("loss", chance), _summary("acc", chance)]
                        )
                        for run in response.runs[first : first + 1_000]
                    ]
                )
            )


def _summary(metric: str, chance: random.Random) -> MetricSummary:
    value = chance.random()
    return MetricSummary(metric=metric, last=value, min=value / 2, max=value * 2, count=100, revision=1)


def _batch(experiment: str, numbers: range) -> api.BatchCreateRunsRequest:
    return api.BatchCreateRunsRequest(
        parent=WORKSPACE,
        requests=[api.CreateRunRequest(run=_run(experiment, number), start=True) for number in numbers],
    )


def _run(experiment: str, number: int) -> Run:
    return Run(
        experiment=experiment,
        creator="bench",
        tags=[Tag(key="model", value=f"resnet-{number % 10}")],
        properties={"azureml.git.branch": "main", "azureml.git.commit": "0123456789abcdef0123456789abcdef01234567"},
    )


async def _experiment(runs: "RunHistoryServiceAsyncStub", name: str) -> str:
    request = api.CreateExperimentRequest(
        parent=WORKSPACE, experiment=Experiment(display_name=name), return_existing=True
    )
    response = await runs.CreateExperiment(request)
    return str(response.experiment.name)


def _own_connection(address: str) -> grpc.aio.Channel:
    return grpc.aio.insecure_channel(address, options=[("grpc.use_local_subchannel_pool", 1)])


def _method(channel: grpc.aio.Channel, method: str) -> Call:
    """A method on serialized messages: the generator of the load should cost little."""
    return channel.unary_unary(method)  # type: ignore[return-value]


async def _calls_per_second(calls: list[Call], request: bytes, seconds: float) -> float:
    """How many calls per second all of them make together, each one call at a time."""
    begun = time.perf_counter()

    async def repeat(call: Call) -> int:
        count = 0
        while time.perf_counter() - begun < seconds:
            await call(request, timeout=DEADLINE_SECONDS)
            count += 1
        return count

    counts = await asyncio.gather(*(repeat(call) for call in calls))
    return sum(counts) / (time.perf_counter() - begun)


async def _p50_milliseconds(call: Callable[[], Awaitable[object]], count: int) -> float:
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        await call()
        taken.append((time.perf_counter() - begun) * 1000)
    return statistics.median(taken)
