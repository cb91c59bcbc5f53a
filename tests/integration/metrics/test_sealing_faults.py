"""Sealing when something goes wrong: nothing is lost, nothing is doubled, and damage is never taken for values."""

import asyncio
import random
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import grpc
import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as messages
from runstream_server.config import BucketConfig, Config
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketUnavailable
from runstream_server.metrics.latest_store import LatestStore
from runstream_server.metrics.overview_store import OverviewStore
from runstream_server.metrics.queries import ReadRequest
from runstream_server.metrics.reading import SeriesReader
from runstream_server.metrics.sealing.model import SealedObject, SealTask, object_key
from runstream_server.metrics.sealing.object_store import SealedObjectStore
from runstream_server.metrics.sealing.reading import SealedReader
from runstream_server.metrics.sealing.scanning import SealScan
from runstream_server.metrics.sealing.sealer import Sealer
from runstream_server.metrics.sealing.service import Sealing
from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.metrics.sources import ChunkSource
from runstream_server.metrics.store import MetricStore
from runstream_server.metrics.windows import EVERYTHING
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from runstream_server.runhistory import RunHistory
from runstream_server.sealing import ClaimLostError, Pace
from tests import stubs
from tests.append_clients import Failure, doubles, failure_of_stream, metrics_stream
from tests.conftest import Backend, serve
from tests.forgetful_bucket import ForgetfulBucket

COUNT = 60_000
_RANDOM = random.Random(7)
VALUES = [_RANDOM.random() for _ in range(COUNT)]


class Killed(BaseException):
    """Stands for the end of the process: what is in the way of it does not clean up."""


class KilledBeforeSwap(SealedObjectStore):
    """The store of a process that is killed when its object is in the bucket."""

    async def swap(self, task: SealTask, stored: SealedObject, grace_seconds: float) -> bool:
        raise Killed


class KilledAfterSwap(SealedObjectStore):
    """The store of a process that is killed before it removes anything from Postgres."""

    async def delete_sealed_chunks(self, run: RunName) -> bool:
        raise Killed


@dataclass
class Process:
    """What seals in one process."""

    sealer: Sealer
    sealing: Sealing
    tasks: SealTaskStore
    objects: SealedObjectStore
    source: ChunkSource


@pytest.fixture
def process(backend: Backend, postgres: Postgres, bucket: Bucket) -> Process:
    return process_of(backend, postgres, bucket, SealedObjectStore(postgres))


def process_of(
    backend: Backend, postgres: Postgres, bucket: Bucket, objects: SealedObjectStore, quiet_seconds: float = 0.0
) -> Process:
    tasks, store, latest = SealTaskStore(postgres), MetricStore(postgres), LatestStore(postgres)
    source = ChunkSource(store, OverviewStore(postgres), SealedReader(objects, bucket))
    pace, quiet = Pace(1.0), quiet_seconds
    sealer = Sealer(tasks, objects, store, latest, source, bucket, pace, quiet_seconds=quiet, grace_seconds=3_600.0)
    scan = SealScan(tasks, RunHistory(backend.channel, backend.channel), 30.0)
    return Process(sealer, Sealing(scan, tasks, objects, sealer, bucket, pace), tasks, objects, source)


@pytest.fixture
async def written(backend: Backend, run: str) -> RunName:
    """A run with a long series and short ones; its writer goes on, so no server seals it by itself."""
    async with metrics_stream(backend.channel, run) as stream:
        await stream.send(1, *(doubles(f"short {n}", [float(n)]) for n in range(50)))
        for sequence, start in enumerate(range(0, COUNT, 10_000), 2):
            await stream.send(sequence, doubles("long", VALUES[start : start + 10_000]))
        await stream.acknowledged(COUNT // 10_000 + 1)
    return RunName.parse(run)


async def values_of(backend: Backend, run: RunName) -> list[tuple[str, int, float]]:
    request = messages.ReadSeriesRequest(runs=[str(run)])
    return [
        (response.columns.metric, response.start_index + place, value)
        async for response in stubs.metrics(backend.channel).ReadSeries(request)
        for place, value in enumerate(response.columns.doubles.values)
    ]


async def claim(process: Process, run: RunName) -> SealTask:
    """Claims the task to seal a run, which is made if it is not there, whoever has it."""
    await process.tasks.add_tasks([run])
    await process.tasks._postgres.execute("UPDATE metrics.seal_task SET due_time = now() - interval '1 day'")
    task = await process.tasks.claim()
    assert task is not None
    return replace(task, seen_position=-2)


async def states(postgres: Postgres) -> list[str]:
    rows = await postgres.fetch("SELECT state FROM metrics.sealed_object ORDER BY generation")
    return [row["state"] for row in rows]


async def keys(bucket: Bucket) -> list[str]:
    return [each.key async for each in bucket.list("metrics/")]


async def expire(postgres: Postgres) -> None:
    """Lets all leases of objects end."""
    await postgres.execute("UPDATE metrics.sealed_object SET expire_time = now() WHERE state <> 'current'")


async def chunk_count(postgres: Postgres) -> int:
    return int(await postgres.fetchval("SELECT count(*) FROM metrics.chunk"))


async def test_a_kill_before_the_swap_leaves_an_object_that_nobody_reads_and_that_goes(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: RunName
) -> None:
    before = await values_of(backend, written)
    killed = process_of(backend, postgres, bucket, KilledBeforeSwap(postgres))
    with pytest.raises(Killed):
        await killed.sealer.work(await claim(killed, written))
    assert await values_of(backend, written) == before
    (orphan,) = await keys(bucket)

    await process.sealer.work(await claim(process, written))
    assert await values_of(backend, written) == before
    assert await states(postgres) == ["written", "current"]
    await expire(postgres)
    assert await process.sealing.remove_one()
    assert not await process.sealing.remove_one()
    assert await states(postgres) == ["current"]
    assert orphan not in await keys(bucket)
    assert await values_of(backend, written) == before


async def test_a_kill_after_the_swap_leaves_values_in_both_places_that_are_read_once(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: RunName
) -> None:
    before = await values_of(backend, written)
    killed = process_of(backend, postgres, bucket, KilledAfterSwap(postgres))
    with pytest.raises(Killed):
        await killed.sealer.work(await claim(killed, written))
    assert await chunk_count(postgres) > 0
    assert await values_of(backend, written) == before
    await postgres.execute("DELETE FROM metrics.chunk WHERE start_index % 20000 = 0")  # cleared half
    assert await values_of(backend, written) == before

    await process.sealer.work(await claim(process, written))
    assert await chunk_count(postgres) == 0
    assert await states(postgres) == ["current"]
    assert await values_of(backend, written) == before


async def test_parts_of_an_object_that_was_never_finished_are_removed(
    postgres: Postgres, bucket: Bucket, process: Process
) -> None:
    run = RunName("space", "run")
    key = object_key(run, await process.objects.begin(run))
    upload = bucket.upload(key)
    for _ in range(2):
        await upload.write(bytes(5 << 20))
    store = (await bucket._connected()).store
    assert (await store.list_multipart_uploads(Bucket=bucket._name))["Uploads"]

    await expire(postgres)
    assert await process.sealing.remove_one()
    assert not (await store.list_multipart_uploads(Bucket=bucket._name)).get("Uploads")
    with pytest.raises(BucketUnavailable):
        await upload.finish()


async def test_who_lost_the_claim_changes_nothing(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: RunName
) -> None:
    before = await values_of(backend, written)
    slow = await claim(process, written)
    other = process_of(backend, postgres, bucket, SealedObjectStore(postgres))
    quick = await claim(other, written)

    outcomes = await asyncio.gather(process.sealer.work(slow), other.sealer.work(quick), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [ClaimLostError, type(None)]
    assert sorted(await states(postgres)) == ["current", "written"]
    assert await process.sealing.remove_one()
    assert len(await keys(bucket)) == 1
    assert await values_of(backend, written) == before


async def test_an_object_that_holds_something_else_is_not_taken(
    backend: Backend, postgres: Postgres, bucket_config: BucketConfig, written: RunName
) -> None:
    before = await values_of(backend, written)
    lying = ForgetfulBucket(bucket_config)
    process = process_of(backend, postgres, lying, SealedObjectStore(postgres))
    try:
        with pytest.raises(StoredBytesDamaged):
            await process.sealer.work(await claim(process, written))
    finally:
        await lying.close()

    assert await states(postgres) == ["written"]
    assert await values_of(backend, written) == before


async def test_without_a_bucket_runs_wait_and_their_values_stay(
    backend: Backend, postgres: Postgres, bucket_config: BucketConfig, written: RunName
) -> None:
    away = Bucket(replace(bucket_config, secret_key="wrong"))
    process = process_of(backend, postgres, away, SealedObjectStore(postgres))
    await process.tasks.add_tasks([written])
    try:
        with pytest.raises(BucketUnavailable):
            await process.sealing.seal_one()
    finally:
        await away.close()

    assert await postgres.fetchval("SELECT failures FROM metrics.seal_task") == 1
    assert len(await values_of(backend, written)) == COUNT + 50


async def test_a_reader_between_two_pages_does_not_notice_sealing(
    backend: Backend, postgres: Postgres, process: Process, written: RunName
) -> None:
    async with metrics_stream(backend.channel, str(written), "other") as stream:
        for sequence in range(1, 61):
            await stream.send(sequence, doubles("long", VALUES[:10_000]))
        await stream.acknowledged(60)
    before = [value for metric, _, value in await values_of(backend, written) if metric == "long"]
    reader = SeriesReader(MetricStore(postgres), process.source)
    reading = reader.read(ReadRequest([written], ["long"], 5), EVERYTHING)
    values = [await anext(reading)]
    await process.sealer.work(await claim(process, written))

    assert await chunk_count(postgres) == 0
    values.extend([part async for part in reading])
    assert [value for part in values for value in part.segment.array] == before[5:]


async def sealed_object(postgres: Postgres, bucket: Bucket) -> tuple[str, bytes]:
    (key,) = await keys(bucket)
    return key, await bucket.get(key)


@pytest.mark.parametrize("place", [40, 0.3, 0.9, -30])
async def test_a_flipped_bit_of_the_object_is_told_and_never_returned(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: RunName, place: float
) -> None:
    await process.sealer.work(await claim(process, written))
    key, data = await sealed_object(postgres, bucket)
    damaged = bytearray(data)
    damaged[int(place * len(data)) if isinstance(place, float) else place] ^= 16
    await bucket.put(key, bytes(damaged))

    failure = await reading_failure(backend, written)

    assert failure.code is grpc.StatusCode.DATA_LOSS


async def reading_failure(backend: Backend, run: RunName) -> Failure:
    reading = stubs.metrics(backend.channel).ReadSeries(messages.ReadSeriesRequest(runs=[str(run)]))
    return await failure_of_stream(reading)


async def test_a_missing_object_is_told(backend: Backend, bucket: Bucket, process: Process, written: RunName) -> None:
    await process.sealer.work(await claim(process, written))
    (key,) = await keys(bucket)
    await bucket.delete(key)

    failure = await reading_failure(backend, written)

    assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "OBJECT_MISSING")


@pytest.fixture
async def bucketless(config: Config) -> AsyncIterator[Backend]:
    """All services, which the object store refuses to serve."""
    async with serve(replace(config, bucket=replace(config.bucket, secret_key="wrong"))) as served:
        yield served


async def test_sealed_values_are_unavailable_while_the_bucket_is_away_and_others_are_not(
    bucketless: Backend, process: Process, written: RunName
) -> None:
    await process.sealer.work(await claim(process, written))
    failure = await reading_failure(bucketless, written)

    assert failure.code is grpc.StatusCode.UNAVAILABLE
    async with metrics_stream(bucketless.channel, str(written), "late") as stream:
        await stream.send(1, doubles("late", [1.0, 2.0]))
        await stream.acknowledged(1)
    request = messages.ReadSeriesRequest(runs=[str(written)], metrics=["late"])
    responses = [each async for each in stubs.metrics(bucketless.channel).ReadSeries(request)]
    assert [list(each.columns.doubles.values) for each in responses] == [[1.0, 2.0]]


async def test_a_run_is_sealed_when_its_writers_were_quiet_for_long_enough(
    backend: Backend, postgres: Postgres, bucket: Bucket, written: RunName
) -> None:
    process = process_of(backend, postgres, bucket, SealedObjectStore(postgres), quiet_seconds=60.0)
    await process.tasks.add_tasks([written])

    async def work_after(quiet_seconds: int) -> int:
        """How many chunks are left when the task is worked on after some seconds."""
        moved = "UPDATE metrics.seal_task SET due_time = now(), seen_time = seen_time - $1 * interval '1 second'"
        await postgres.execute(moved, quiet_seconds)
        assert await process.sealing.seal_one()
        return await chunk_count(postgres)

    assert await work_after(0) > 0
    assert await work_after(59) > 0
    async with metrics_stream(backend.channel, str(written), "late") as stream:
        await stream.send(1, doubles("late", [1.0]))
        await stream.acknowledged(1)
    assert await work_after(60) > 0
    assert not await process.sealing.seal_one()
    assert await work_after(60) == 0
    assert await postgres.fetchval("SELECT count(*) FROM metrics.seal_task") == 0


async def test_runs_that_are_no_longer_known_are_sealed_too(
    backend: Backend, postgres: Postgres, process: Process, written: RunName
) -> None:
    for table in ("writer", "series", "chunk"):
        await postgres.execute(f"UPDATE metrics.{table} SET run = 'purged'")
    await postgres.execute("UPDATE metrics.seal_scan SET due_time = now()")

    await SealScan(process.tasks, RunHistory(backend.channel, backend.channel), 30.0).look()

    assert await postgres.fetchval("SELECT run FROM metrics.seal_task") == "purged"
