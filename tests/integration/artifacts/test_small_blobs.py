"""Small blobs: many in one message, many in one object."""

import asyncio

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.packs import read_index
from runstream_server.objectstore import Bucket
from tests.append_clients import failure_of
from tests.artifact_calls import Calls, sha256
from tests.conftest import Backend
from tests.make_runs import WORKSPACE, make_workspace


@pytest.fixture
async def calls(backend: Backend, run: str) -> Calls:
    return Calls(backend.channel)


async def test_small_blobs_share_an_object_and_are_read_apart(calls: Calls, bucket: Bucket, run: str) -> None:
    blobs = [b"file %d" % n * n for n in range(300)]
    digests = await calls.store(*blobs)
    await calls.bind(run, {f"{n:03}": digest for n, digest in enumerate(digests)})

    assert digests == [sha256(data) for data in blobs]
    assert len([each.key async for each in bucket.list("packs/")]) == 1
    for n in (0, 1, 2, 299):
        assert await calls.download(run, f"{n:03}") == blobs[n]
        assert await calls.read(run, f"{n:03}") == blobs[n]
    assert await calls.read(run, "299", 7, 3) == blobs[299][7:10]


async def test_a_pack_says_what_is_in_it(calls: Calls, bucket: Bucket) -> None:
    await calls.store(b"one", b"three", b"two")
    (key,) = [each.key async for each in bucket.list("packs/")]
    pack = await bucket.get(key)

    assert {digest: pack[start : start + length] for digest, start, length in read_index(pack)} == {
        sha256(data): data for data in (b"one", b"two", b"three")
    }


async def test_the_same_blobs_again_store_nothing(
    calls: Calls, backend: Backend, replica: Backend, bucket: Bucket
) -> None:
    await calls.store(b"one", b"one", b"two")
    await make_workspace(backend.channel, "other")
    await Calls(replica.channel, "workspaces/other").store(b"two", b"one")
    await calls.store(b"one", b"two", b"three")

    assert len([each async for each in bucket.list()]) == 2
    assert await calls.missing([sha256(b"three"), sha256(b"one")]) == []


async def test_the_same_blobs_from_all_sides_at_once_are_kept_once(calls: Calls, replica: Backend, run: str) -> None:
    both = [calls, Calls(replica.channel)]
    blobs = [b"blob %d" % n for n in range(200)]
    await asyncio.gather(*(both[n % 2].store(*blobs[n * 10 :], *blobs[: n * 10]) for n in range(10)))

    await calls.bind(run, {str(n): sha256(data) for n, data in enumerate(blobs)})
    assert await calls.read(run, "150") == blobs[150]


async def test_a_wrong_digest_refuses_all(calls: Calls, bucket: Bucket) -> None:
    blobs = [messages.SmallBlob(data=b"one"), messages.SmallBlob(data=b"two", digest=sha256(b"2"))]
    call = calls.stub.BatchUploadBlobs(messages.BatchUploadBlobsRequest(parent=WORKSPACE, blobs=blobs))
    failure = await failure_of(call)

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert await calls.missing([sha256(b"one"), sha256(b"two")]) == [sha256(b"one"), sha256(b"two")]
    assert [each async for each in bucket.list()] == []


async def test_a_url_of_a_small_blob_gives_nothing_of_its_neighbours(calls: Calls, run: str) -> None:
    await calls.bind(run, {"a": (await calls.store(b"secret", b"mine"))[1]})
    request = messages.GetDownloadUrlsRequest(run=run, paths=["a"])
    (found,) = (await calls.stub.GetDownloadUrls(request)).downloads

    assert dict(found.headers) == {"Range": f"bytes={len(b'secret')}-{len(b'secretmine') - 1}"}
