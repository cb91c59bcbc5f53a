"""Many small artifacts are read by one call."""

import hashlib
import random
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of, failure_of_stream
from tests.artifact_calls import Calls, sha256
from tests.conftest import Backend
from tests.make_runs import make_run

MIB = 1 << 20
MESSAGE_BYTES = 256 * 1024
READERS = 16


@pytest.fixture
def calls(backend: Backend) -> Calls:
    return Calls(backend.channel)


def begin(calls: Calls, run: str, paths: Sequence[str]) -> Any:
    return calls.stub.BatchReadArtifacts(messages.BatchReadArtifactsRequest(run=run, paths=paths))


async def arrived(call: Any) -> list[list[messages.SmallArtifact]]:
    """The artifacts of each message, until the stream ends however it does."""
    found: list[list[messages.SmallArtifact]] = []
    with suppress(grpc.aio.AioRpcError):
        async for response in call:
            found += [list(response.artifacts)]
    return found


def contents_of(found: Sequence[Sequence[messages.SmallArtifact]]) -> dict[str, bytes]:
    return {each.artifact.path: each.data for some in found for each in some}


async def test_small_artifacts_come_once_each_wherever_they_lie(calls: Calls, run: str) -> None:
    choice = random.Random(1)
    packs = [[choice.randbytes(choice.randrange(1, 9_000)) for _ in range(300)] for _ in range(3)]
    alone = [b"", b"alone", choice.randbytes(MIB), choice.randbytes(MIB - 1)]
    for some in (*packs, *([data] for data in alone)):
        await calls.store(*some)
    blobs = [*alone, *(data for some in packs for data in some)]
    choice.shuffle(blobs)
    bound = {f"outputs/{number:03}": data for number, data in enumerate([*blobs, b"alone", blobs[3], b""])}
    artifacts = await calls.bind(run, {path: sha256(data) for path, data in bound.items()})

    found = await arrived(begin(calls, run, list(bound)))

    assert contents_of(found) == bound
    came = [each.artifact for some in found for each in some]
    assert sorted(came, key=lambda each: each.path) == list(artifacts)


async def test_a_message_has_many_artifacts_or_one_large_one(calls: Calls, run: str) -> None:
    blobs = [random.Random(number).randbytes(MIB if number == 7 else 100_000) for number in range(30)]
    digests = [digest for start in (0, 10, 20) for digest in await calls.store(*blobs[start : start + 10])]
    await calls.bind(run, {str(number): digest for number, digest in enumerate(digests)})

    found = await arrived(begin(calls, run, [str(number) for number in range(30)]))

    sizes = [sum(len(each.data) for each in some) for some in found]
    assert all(size <= MESSAGE_BYTES or len(some) == 1 for size, some in zip(sizes, found, strict=True))
    assert sum(sizes) == sum(map(len, blobs))
    assert len(found) < len(blobs)


async def test_what_one_artifact_is_not_is_told_before_anything_is_sent(
    calls: Calls, backend: Backend, run: str
) -> None:
    large = await calls.upload(bytes(MIB + 1))
    small, other = await calls.store(b"small", b"other")
    await calls.bind(run, {"large": large, "small": small})
    await calls.bind(await make_run(backend.channel, "another"), {"other": other})

    for paths, code, reason, metadata in [
        (["small", "none"], grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND", ("path", "none")),
        (["small", "other"], grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND", ("path", "other")),
        (["small", "large"], grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD", ("field", "paths[1]")),
    ]:
        call = begin(calls, run, paths)
        assert await arrived(call) == []
        failure = await failure_of(call)
        assert (failure.code, failure.reason) == (code, reason)
        assert metadata in failure.metadata.items()


async def test_a_damaged_artifact_is_named_after_all_others_came_and_mended_by_whoever_sends_it(
    calls: Calls, bucket: Bucket, run: str
) -> None:
    blobs = [b"file %d" % number * 100 for number in range(40)]
    bound = {f"{number:02}": data for number, data in enumerate(blobs)}
    await calls.bind(run, dict(zip(bound, await calls.store(*blobs), strict=True)))
    (key,) = [each.key async for each in bucket.list("packs/")]
    pack = await bucket.get(key)
    await bucket.put(key, pack.replace(blobs[7], blobs[7][::-1]))

    call = begin(calls, run, list(bound))
    found = contents_of(await arrived(call))

    failure = await failure_of(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.DATA_LOSS, "DATA_LOSS")
    assert failure.metadata["path"] == "07"
    assert found == {path: data for path, data in bound.items() if path != "07"}
    await calls.store(blobs[7])
    assert contents_of(await arrived(begin(calls, run, list(bound)))) == bound


async def test_artifacts_whose_object_is_gone_are_damaged(calls: Calls, bucket: Bucket, run: str) -> None:
    one, alone = [*await calls.store(b"one", b"two"), *await calls.store(b"alone")][::2]
    await calls.bind(run, {"alone": alone, "one": one})
    (key,) = [each.key async for each in bucket.list("packs/")]
    await bucket.delete(key)

    call = begin(calls, run, ["alone", "one"])
    assert contents_of(await arrived(call)) == {"alone": b"alone"}
    failure = await failure_of(call)
    assert (failure.reason, failure.metadata["path"]) == ("DATA_LOSS", "one")


async def test_bytes_that_have_no_checksums_yet_are_checked(calls: Calls, postgres: Postgres, run: str) -> None:
    await calls.bind(run, {"a": (await calls.store(b"one", b"two"))[0]})
    await postgres.execute("UPDATE artifacts.content SET checksums = NULL")

    assert contents_of(await arrived(begin(calls, run, ["a"]))) == {"a": b"one"}
    digest = hashlib.sha256(b"one").digest()
    assert await postgres.fetchval("SELECT checksums FROM artifacts.content WHERE digest = $1", digest)


async def test_more_readers_than_a_server_takes_are_told_to_come_again(calls: Calls, run: str) -> None:
    blobs = [random.Random(number).randbytes(MIB) for number in range(4)]
    for data in blobs:
        await calls.store(data)
    await calls.bind(run, {str(number): sha256(data) for number, data in enumerate(blobs)})
    reading = [begin(calls, run, ["0", "1", "2", "3"]) for _ in range(READERS)]
    for call in reading:
        assert await call.read() is not grpc.aio.EOF

    failure = await failure_of_stream(begin(calls, run, ["0"]))

    assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
    for call in reading:
        call.cancel()
