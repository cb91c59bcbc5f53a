"""Sealing when something goes wrong: no byte is lost or doubled, and damage is never taken for text."""

import asyncio
import hashlib
import random
from dataclasses import dataclass, replace

import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server import app
from runstream_server.appendstreams import AppendKey
from runstream_server.config import BucketConfig, Config
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import BucketUnavailable
from runstream_server.logs.model import LogFile
from runstream_server.logs.sealing.model import SealTask, Segment
from runstream_server.logs.sealing.reading import SegmentReader
from runstream_server.logs.sealing.sealer import Sealer
from runstream_server.logs.sealing.segment_store import SegmentStore
from runstream_server.logs.sealing.task_store import SealTaskStore
from runstream_server.logs.source import LogSource
from runstream_server.logs.store import LogStore
from runstream_server.names import RunName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from runstream_server.rpc import open_channel
from runstream_server.sealing import ClaimLostError, Pace
from tests import stubs
from tests.append_clients import Failure, failure_of_stream, log_stream
from tests.bucket_proxy import Trouble, bucket_proxy
from tests.conftest import Backend, serve
from tests.fault_proxy import fault_proxy
from tests.forgetful_bucket import ForgetfulBucket
from tests.log_files import PATH, holds, read_log, write_log

TEXT = b"".join(b"line %d %x\n" % (number, number * 7_919) for number in range(20_000))
PIECES = [TEXT[at : at + 90_000] for at in range(0, len(TEXT), 90_000)]


class Killed(BaseException):
    """Stands for the end of the process: what is in the way of it does not clean up."""


class KilledBeforeSwap(SegmentStore):
    """The store of a process that is killed when its segment is in the bucket."""

    async def swap(self, task: SealTask, segment: Segment) -> bool:
        raise Killed


class KilledAfterSwap(SegmentStore):
    """The store of a process that is killed before it removes anything from Postgres."""

    async def delete_sealed_chunks(self, file: LogFile) -> bool:
        raise Killed


class HeldUpBeforeSwap(SegmentStore):
    """The store of a process that was held up for so long that its segment was taken for abandoned and removed."""

    async def swap(self, task: SealTask, segment: Segment) -> bool:
        await self.forget(segment.run, segment.file, segment.number)
        return await super().swap(task, segment)


@dataclass
class Process:
    """What seals in one process."""

    sealer: Sealer
    tasks: SealTaskStore
    segments: SegmentStore


def process_of(postgres: Postgres, bucket: Bucket, segments: SegmentStore) -> Process:
    tasks, store = SealTaskStore(postgres), LogStore(postgres)
    source = LogSource(store, SegmentReader(segments, bucket))
    pace, never = Pace(1.0), 1 << 40
    sealer = Sealer(tasks, segments, store, source, bucket, pace, seal_bytes=never, quiet_seconds=0.0)
    return Process(sealer, tasks, segments)


@pytest.fixture
def process(postgres: Postgres, bucket: Bucket) -> Process:
    return process_of(postgres, bucket, SegmentStore(postgres))


@pytest.fixture
async def written(backend: Backend, run: str) -> str:
    """A run with a log; it goes on, so no server seals the log by itself."""
    await write_log(backend, run, *PIECES)
    return run


async def claim(process: Process, run: str) -> SealTask:
    """Claims the task to seal a log, which is made if it is not there, whoever has it."""
    name = RunName.parse(run)
    await process.tasks.add_tasks([AppendKey(name.workspace, name.run, PATH)], whole=True)
    await process.tasks._postgres.execute("UPDATE logs.seal_task SET due_time = now() - interval '1 day'")
    task = await process.tasks.claim()
    assert task is not None
    return task


async def states(postgres: Postgres) -> list[str]:
    rows = await postgres.fetch("SELECT state FROM logs.segment ORDER BY segment")
    return [row["state"] for row in rows]


async def keys(bucket: Bucket) -> list[str]:
    return [each.key async for each in bucket.list("logs/")]


async def test_a_kill_before_the_swap_leaves_an_object_that_nobody_reads_and_that_goes(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: str
) -> None:
    killed = process_of(postgres, bucket, KilledBeforeSwap(postgres))
    with pytest.raises(Killed):
        await killed.sealer.work(await claim(killed, written))
    assert await read_log(backend, written) == TEXT
    (orphan,) = await keys(bucket)

    await process.sealer.work(await claim(process, written))
    assert await states(postgres) == ["written", "current"]
    await postgres.execute("UPDATE logs.segment SET expire_time = now() WHERE state <> 'current'")
    await holds(postgres, "count(*) = 1 FROM logs.segment")
    assert orphan not in await keys(bucket)
    assert await read_log(backend, written) == TEXT


async def test_a_kill_after_the_swap_leaves_text_in_both_places_that_is_read_once(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: str
) -> None:
    killed = process_of(postgres, bucket, KilledAfterSwap(postgres))
    with pytest.raises(Killed):
        await killed.sealer.work(await claim(killed, written))
    assert await postgres.fetchval("SELECT count(*) FROM logs.chunk") == len(PIECES)
    assert await read_log(backend, written) == TEXT
    await postgres.execute("DELETE FROM logs.chunk WHERE start_offset % 180000 = 0")  # cleared half
    assert await read_log(backend, written, last_lines=10_000) == b"".join(TEXT.splitlines(keepends=True)[-10_000:])

    await process.sealer.work(await claim(process, written))
    assert await postgres.fetchval("SELECT count(*) FROM logs.chunk") == 0
    assert await states(postgres) == ["current"]
    assert await read_log(backend, written) == TEXT


async def test_who_lost_the_claim_changes_nothing(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, written: str
) -> None:
    slow = await claim(process, written)
    other = process_of(postgres, bucket, SegmentStore(postgres))
    quick = await claim(other, written)

    outcomes = await asyncio.gather(process.sealer.work(slow), other.sealer.work(quick), return_exceptions=True)

    assert [type(outcome) for outcome in outcomes] == [ClaimLostError, type(None)]
    assert await postgres.fetchval("SELECT count(*) FROM logs.segment WHERE state = 'current'") == 1
    assert await read_log(backend, written) == TEXT


async def test_an_object_that_comes_after_its_segment_was_removed_goes_too(
    backend: Backend, postgres: Postgres, bucket: Bucket, written: str
) -> None:
    held_up = process_of(postgres, bucket, HeldUpBeforeSwap(postgres))

    with pytest.raises(ClaimLostError):
        await held_up.sealer.work(await claim(held_up, written))

    assert (await states(postgres), await keys(bucket)) == ([], [])
    assert await read_log(backend, written) == TEXT


async def test_an_object_that_holds_something_else_is_not_taken(
    backend: Backend, postgres: Postgres, bucket_config: BucketConfig, written: str
) -> None:
    lying = ForgetfulBucket(bucket_config)
    process = process_of(postgres, lying, SegmentStore(postgres))
    try:
        with pytest.raises(StoredBytesDamaged):
            await process.sealer.work(await claim(process, written))
    finally:
        await lying.close()

    assert "current" not in await states(postgres)
    assert await read_log(backend, written) == TEXT


async def test_without_a_bucket_text_stays_where_it_is(
    backend: Backend, postgres: Postgres, bucket_config: BucketConfig, written: str
) -> None:
    locked = Bucket(replace(bucket_config, secret_key="wrong"))
    process = process_of(postgres, locked, SegmentStore(postgres))
    try:
        with pytest.raises(BucketUnavailable):
            await process.sealer.work(await claim(process, written))
    finally:
        await locked.close()

    assert await read_log(backend, written) == TEXT


@pytest.fixture
async def sealed(process: Process, written: str) -> str:
    """A run whose log is in the bucket alone."""
    await process.sealer.work(await claim(process, written))
    return written


async def failures(backend: Backend, run: str) -> list[Failure]:
    """How the methods that read text fail, none of which may answer with wrong bytes."""
    stub = stubs.logs(backend.channel)
    calls = [
        stub.ReadLog(messages.ReadLogRequest(run=run, path=PATH)),
        stub.TailLog(messages.TailLogRequest(run=run, path=PATH)),
        stub.SearchLogs(messages.SearchLogsRequest(parent="workspaces/space", runs=[run], literal=b"nowhere")),
    ]
    return [await failure_of_stream(call) for call in calls]


async def test_each_damaged_bit_is_noticed(backend: Backend, bucket: Bucket, sealed: str) -> None:
    (key,) = await keys(bucket)
    data = await bucket.get(key)
    rng = random.Random(3)
    frames_end = data.index(b"\x50\x2a\x4d\x18")  # what comes behind only repeats what Postgres knows
    for place in rng.sample(range(frames_end), 12):
        damaged = bytearray(data)
        damaged[place] ^= 1 << rng.randrange(8)
        await bucket.put(key, bytes(damaged))
        for failure in await failures(backend, sealed):
            assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")
    await bucket.put(key, data)
    assert await read_log(backend, sealed) == TEXT


@pytest.mark.parametrize("kept", [0, 100, 0.5])
async def test_a_truncated_object_is_noticed(backend: Backend, bucket: Bucket, sealed: str, kept: float) -> None:
    (key,) = await keys(bucket)
    data = await bucket.get(key)
    await bucket.put(key, data[: int(kept if kept >= 1 else len(data) * kept)])

    for failure in await failures(backend, sealed):
        assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")


async def test_a_missing_object_is_named(backend: Backend, bucket: Bucket, sealed: str) -> None:
    (key,) = await keys(bucket)
    await bucket.delete(key)

    for failure in await failures(backend, sealed):
        assert (failure.code, failure.reason, failure.metadata) == (
            grpc.StatusCode.DATA_LOSS,
            "OBJECT_MISSING",
            {"key": key},
        )


async def test_swapped_objects_are_noticed(
    backend: Backend, postgres: Postgres, bucket: Bucket, process: Process, sealed: str
) -> None:
    await write_log(backend, sealed, *(piece[::-1] for piece in PIECES))
    await process.sealer.work(await claim(process, sealed))
    first, second = await keys(bucket)
    contents = await bucket.get(first), await bucket.get(second)
    await bucket.put(first, contents[1])
    await bucket.put(second, contents[0])

    for failure in await failures(backend, sealed):
        assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")


async def test_a_bucket_that_refuses_the_services_is_a_reason_to_call_again(config: Config, sealed: str) -> None:
    async with serve(replace(config, bucket=replace(config.bucket, secret_key="wrong"))) as bucketless:
        for failure in await failures(bucketless, sealed):
            assert (failure.code, failure.reason) == (grpc.StatusCode.UNAVAILABLE, "BUCKET_REFUSED")


async def test_a_tail_that_waits_for_the_bucket_is_told_when_the_server_stops(
    config: Config, s3_server: EmbeddedS3, sealed: str
) -> None:
    async with fault_proxy([s3_server.endpoint.removeprefix("http://")], lambda: None) as proxy:
        slow = replace(config.bucket, endpoint=f"http://{proxy.address}", public_endpoint=f"http://{proxy.address}")
        async with (
            app.serve(replace(config, bucket=slow)) as server,
            open_channel(server.address) as channel,
        ):
            await read_log(Backend(server.address, channel, config), sealed, end_offset=1)
            proxy.hold()
            tailing = stubs.logs(channel).TailLog(messages.TailLogRequest(run=sealed, path=PATH))
            ending = asyncio.create_task(failure_of_stream(tailing))
            await proxy.held()
            server.draining.set()
            assert (await ending).reason == "DRAINING"
            proxy.release()


async def test_a_writer_goes_on_while_the_bucket_is_away(config: Config, sealed: str) -> None:
    digest = hashlib.sha256(TEXT[-4_096:]).digest()
    async with (
        serve(replace(config, bucket=replace(config.bucket, secret_key="wrong"))) as bucketless,
        log_stream(bucketless.channel, sealed, durable=len(TEXT), digest=digest) as stream,
    ):
        await stream.send(len(TEXT), b"more\n")
        await stream.acknowledged(len(TEXT) + 5)
        assert await read_log(bucketless, sealed, start_offset=len(TEXT)) == b"more\n"


async def test_a_bucket_in_trouble_is_asked_again_and_loses_nothing(
    backend: Backend, postgres: Postgres, bucket_config: BucketConfig, written: str
) -> None:
    choice = random.Random(5)
    with bucket_proxy(bucket_config.endpoint) as proxy:
        proxy.chance = lambda: choice.choice([*Trouble, None, None, None, None])
        troubled = Bucket(replace(bucket_config, endpoint=proxy.endpoint, public_endpoint=proxy.endpoint))
        process = process_of(postgres, troubled, SegmentStore(postgres))
        outcomes = []
        try:
            async with asyncio.timeout(60):
                while await postgres.fetchval("SELECT EXISTS (SELECT FROM logs.chunk)"):
                    task = await claim(process, written)
                    (outcome,) = await asyncio.gather(process.sealer.work(task), return_exceptions=True)
                    assert await read_log(backend, written) == TEXT
                    outcomes.append(outcome)
        finally:
            await troubled.close()

    allowed = (type(None), BucketUnavailable, StoredBytesDamaged)
    assert [type(outcome) for outcome in outcomes if not isinstance(outcome, allowed)] == []
    assert await postgres.fetchval("SELECT count(*) FROM logs.segment WHERE state = 'current'") == 1
    assert await read_log(backend, written) == TEXT
