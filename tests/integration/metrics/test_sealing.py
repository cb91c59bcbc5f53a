"""A run that has ended becomes one Parquet object, and no reader notices."""

import asyncio
import math
import random
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import MetricsClient, doubles, metrics_stream
from tests.conftest import Backend, serve
from tests.make_runs import make_run


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0))


async def send(stream: MetricsClient, *batches: list[messages.SeriesColumns]) -> None:
    """Writes batches one after the other, each in a commit of its own."""
    for sequence, batch in enumerate(batches, await stream.opened() + 1):
        await stream.send(sequence, *batch)
        await stream.acknowledged(sequence)


async def write(backend: Backend, run: str, *batches: list[messages.SeriesColumns], writer: str = "writer") -> None:
    """Writes batches and says that the writer is done."""
    async with metrics_stream(backend.channel, run, writer) as stream:
        await send(stream, *batches)
        await stream.finish()
        await stream.half_close()


async def end(backend: Backend, run: str) -> None:
    await stubs.run_history(backend.channel).CompleteRun(history.CompleteRunRequest(name=run))


async def sealed(postgres: Postgres) -> None:
    """Waits until everything is sealed."""
    waiting = "SELECT EXISTS (SELECT FROM metrics.chunk) OR EXISTS (SELECT FROM metrics.seal_task)"
    async with asyncio.timeout(30):
        while await postgres.fetchval(waiting):
            pass


async def generations(postgres: Postgres) -> list[tuple[str, str]]:
    rows = await postgres.fetch("SELECT run, state FROM metrics.sealed_object ORDER BY generation")
    return [(row["run"], row["state"]) for row in rows]


async def objects(bucket: Bucket) -> list[str]:
    return [each.key async for each in bucket.list("metrics/")]


async def points_of(backend: Backend, run: str, **options: int) -> list[tuple[object, ...]]:
    """Every value: metric, index, step, time, and the value by its type and representation."""
    request = messages.ReadSeriesRequest(runs=[run], **options)  # type: ignore[arg-type]
    points: list[tuple[object, ...]] = []
    async for response in stubs.metrics(backend.channel).ReadSeries(request):
        columns = response.columns
        field = columns.WhichOneof("values") or ""
        count = len(columns.times)
        values = [None] * count if field == "nulls" else getattr(columns, field).values
        indexes = range(response.start_index, response.start_index + count)
        for index, step, time, value in zip(indexes, columns.steps, columns.times, values, strict=True):
            points.append((columns.metric, index, step, time, field, repr(value)))
    return points


def columns_of(rng: random.Random, metric: str, start: int) -> messages.SeriesColumns:
    """A few values of any kind."""
    count = rng.randint(1, 40)
    columns = messages.SeriesColumns(metric=metric, times=range(start, start + count))
    if rng.random() < 0.5:
        columns.steps.extend(rng.randint(-(2**63), 2**63 - 1) for _ in range(count))
    match rng.randrange(5):
        case 0:
            special = [math.nan, math.inf, -math.inf, -0.0, 5e-324]
            columns.doubles.values.extend(rng.choice([*special, rng.gauss(0, 1)]) for _ in range(count))
        case 1:
            columns.int64s.values.extend(rng.choice([-(2**63), 2**63 - 1, 0, 7]) for _ in range(count))
        case 2:
            columns.bools.values.extend(rng.random() < 0.5 for _ in range(count))
        case 3:
            columns.strings.values.extend("é\n" * rng.randint(0, 9) for _ in range(count))
        case _:
            columns.nulls.count = count
    return columns


@pytest.mark.parametrize("seed", range(3))
async def test_values_of_all_kinds_are_read_the_same_after_sealing(
    backend: Backend, postgres: Postgres, bucket: Bucket, run: str, seed: int
) -> None:
    rng = random.Random(seed)
    names = [f"metric {n}" for n in range(8)]
    batches = [[columns_of(rng, name, n * 100) for name in names if rng.random() < 0.7] for n in range(12)]
    await write(backend, run, *batches, [doubles("long", [rng.random() for _ in range(40_000)])])
    before = await points_of(backend, run)
    await end(backend, run)
    await sealed(postgres)

    assert await points_of(backend, run) == before
    assert await points_of(backend, run, start_index=7, end_index=30) == [
        point for point in before if point[1] in range(7, 30)
    ]
    (key,) = await objects(bucket)
    assert key.startswith("metrics/space/run/")
    listed = await stubs.metrics(backend.channel).ListSeries(messages.ListSeriesRequest(parent=run))
    assert sum(series.count for series in listed.series) == len(before)


async def test_a_run_that_goes_on_is_not_sealed_and_one_without_values_needs_no_object(
    backend: Backend, postgres: Postgres, bucket: Bucket
) -> None:
    going, empty = [await make_run(backend.channel, name) for name in ("going", "empty")]
    await write(backend, going, [doubles("m", [1.0])])
    await write(backend, empty)
    await end(backend, empty)
    async with asyncio.timeout(20):
        while await postgres.fetchval("SELECT hot FROM metrics.writer WHERE run = 'empty'"):
            pass

    assert await postgres.fetchval("SELECT hot FROM metrics.writer WHERE run = 'going'")
    assert await objects(bucket) == []
    assert await points_of(backend, going) == [("m", 0, 0, 1, "doubles", "1.0")]


async def test_what_comes_after_sealing_on_an_open_stream_is_sealed_again(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    async with metrics_stream(backend.channel, run) as stream:
        await send(stream, [doubles("m", range(100)), doubles("only before", [1.0])])
        await end(backend, run)
        await sealed(postgres)
        await stream.send(2, doubles("m", range(100, 130)), doubles("only after", [2.0]))
        await stream.acknowledged(2)
        both = await points_of(backend, run)
        await sealed(postgres)

    assert [state for _, state in await generations(postgres)] == ["replaced", "current"]
    assert await points_of(backend, run) == both
    assert [point[5] for point in both if point[0] == "m"] == [str(float(n)) for n in range(130)]
    assert {point[0] for point in both} == {"m", "only before", "only after"}


async def test_a_replaced_object_goes_after_the_grace_period(
    config: Config, postgres: Postgres, bucket: Bucket
) -> None:
    async with serve(replace(config, maintenance=replace(config.maintenance, seal_grace_seconds=0.0))) as backend:
        run = await make_run(backend.channel)
        await write(backend, run, [doubles("m", [1.0])])
        await end(backend, run)
        await sealed(postgres)
        (first,) = await objects(bucket)
        await write(backend, run, [doubles("m", [2.0])], writer="late")
        await sealed(postgres)
        async with asyncio.timeout(20):
            while len(await generations(postgres)) > 1:
                pass

        (second,) = await objects(bucket)
        assert second != first
        assert [point[5] for point in await points_of(backend, run)] == ["1.0", "2.0"]


async def compared(backend: Backend, run: str, **options: int) -> list[messages.CompareSeriesResponse]:
    request = messages.CompareSeriesRequest(runs=[run], metrics=["long", "short"], **options)  # type: ignore[arg-type]
    return [response async for response in stubs.metrics(backend.channel).CompareSeries(request)]


async def test_charts_are_the_same_after_sealing_and_need_no_bucket_when_they_are_thinned(
    backend: Backend, config: Config, postgres: Postgres, run: str
) -> None:
    rng = random.Random(1)
    walk = [rng.gauss(0, 1) for _ in range(100_000)]
    long = [
        [doubles("long", walk[start : start + 20_000], range(start, start + 20_000))]
        for start in range(0, 100_000, 20_000)
    ]
    await write(backend, run, [doubles("short", range(50))], *long)
    zoom = {"min": 40_000, "max": 40_500, "max_points": 1_000}
    before = [await compared(backend, run, max_points=100), await compared(backend, run, **zoom)]
    await end(backend, run)
    await sealed(postgres)

    after = [await compared(backend, run, max_points=100), await compared(backend, run, **zoom)]
    assert after[1] == before[1]
    assert [(each.metric, each.count) for each in after[0]] == [(each.metric, each.count) for each in before[0]]
    assert max(after[0][0].values) == max(walk)
    assert min(after[0][0].values) == min(walk)
    async with serve(replace(config, bucket=replace(config.bucket, secret_key="wrong"))) as bucketless:
        request = messages.CompareSeriesRequest(runs=[run], metrics=["long"], max_points=100)
        responses = [each async for each in stubs.metrics(bucketless.channel).CompareSeries(request)]
        assert responses == after[0][:1]


async def test_a_tail_goes_on_while_its_run_is_sealed(backend: Backend, postgres: Postgres, run: str) -> None:
    await write(backend, run, [doubles("m", range(100))])
    await end(backend, run)
    await sealed(postgres)
    request = messages.TailSeriesRequest(
        runs=[run], cursor=[messages.SeriesPosition(run=run, metric="m", next_index=40)]
    )
    values: list[float] = []
    async with asyncio.timeout(30):
        async for response in stubs.metrics(backend.channel).TailSeries(request):
            values.extend(response.values.columns.doubles.values)
            if len(values) >= 60:
                break

    assert values == list(range(40, 100))


async def test_two_servers_that_seal_at_once_seal_each_run_once(
    backend: Backend, replica: Backend, postgres: Postgres, bucket: Bucket
) -> None:
    runs = [await make_run(backend.channel, f"run-{n}") for n in range(12)]
    for run in runs:
        await write(backend, run, [doubles("m", range(50))])
    await asyncio.gather(*(end(backend, run) for run in runs))
    await sealed(postgres)

    assert sorted(await generations(postgres)) == sorted((run.split("/")[-1], "current") for run in runs)
    assert len(await objects(bucket)) == len(runs)
    for server in (backend, replica):
        request = messages.ReadSeriesRequest(runs=runs)
        responses = [each async for each in stubs.metrics(server.channel).ReadSeries(request)]
        assert [each.run for each in responses] == sorted(runs)
        assert all(list(each.columns.doubles.values) == list(range(50)) for each in responses)


@pytest.fixture
async def replica(config: Config) -> AsyncIterator[Backend]:
    """All services once more."""
    async with serve(config) as served:
        yield served
