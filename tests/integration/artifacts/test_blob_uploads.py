"""Uploads: parts in any order, again and after a crash; only what was verified becomes known."""

import asyncio
import random
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.error import HTTPError

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.collecting import make_collector
from runstream_server.artifacts.model import Parts
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of
from tests.artifact_calls import PART_BYTES, Calls, put, sha256
from tests.conftest import Backend
from tests.make_runs import WORKSPACE, make_workspace

DATA = b"weights" * 1_000
LARGE = random.Random(7).randbytes(2 * PART_BYTES + 12_345)
ALIKE = LARGE[:1_000_000]


@pytest.fixture
async def calls(backend: Backend, run: str) -> Calls:
    return Calls(backend.channel)


async def keys(bucket: Bucket, prefix: str = "") -> list[str]:
    return [each.key async for each in bucket.list(prefix)]


async def completion(calls: Calls, upload_id: str, digest: str = "", workspace: str = WORKSPACE) -> tuple[str, str]:
    call = calls.stub.CompleteUpload(
        messages.CompleteUploadRequest(parent=workspace, upload_id=upload_id, digest=digest)
    )
    failure = await failure_of(call)
    return failure.code.name, failure.reason


async def test_a_blob_the_workspace_has_is_not_sent_again(calls: Calls) -> None:
    digest = await calls.upload(DATA)

    assert (await calls.begin(DATA)).exists
    assert (await calls.begin(DATA, multipart=True)).exists
    assert await calls.missing([sha256(b"b"), digest, sha256(b"a")]) == [sha256(b"b"), sha256(b"a")]


async def test_completing_again_changes_nothing(backend: Backend, replica: Backend, calls: Calls) -> None:
    begun = await calls.begin(DATA)
    await put(begun.url, begun.headers, DATA)

    both = [calls, Calls(replica.channel)]
    await asyncio.gather(*(each.complete(begun.upload_id) for each in both * 2))
    await calls.complete(begun.upload_id)

    assert (await calls.begin(DATA)).exists


async def test_parts_arrive_in_any_order_and_again(calls: Calls, bucket: Bucket) -> None:
    begun = await calls.begin(LARGE, multipart=True)
    assert (begun.part_size_bytes, begun.part_count, begun.url) == (PART_BYTES, 3, "")
    for numbers in ([3], [2, 3], [1, 2]):
        await calls.put_parts(begun.upload_id, LARGE, numbers)
    await calls.complete(begun.upload_id)

    (key,) = await keys(bucket)
    assert key == f"blobs/sha256/{sha256(LARGE)[:2]}/{sha256(LARGE)}.{begun.upload_id}"
    assert await bucket.get(key) == LARGE


async def test_after_a_crash_only_missing_parts_are_sent(calls: Calls, run: str) -> None:
    begun = await calls.begin(LARGE, multipart=True)
    await calls.put_parts(begun.upload_id, LARGE, [1, 3])
    found = await calls.query(begun.upload_id)

    assert not found.completed
    assert (list(found.missing_part_numbers), found.committed_size_bytes) == ([2], PART_BYTES)
    assert await completion(calls, begun.upload_id) == ("FAILED_PRECONDITION", "UPLOAD_INCOMPLETE")
    await calls.put_parts(begun.upload_id, LARGE, [2])
    await calls.complete(begun.upload_id)
    assert (await calls.query(begun.upload_id)).completed
    await calls.bind(run, {"a": sha256(LARGE)})
    assert await calls.download(run, "a") == LARGE


async def test_a_digest_may_be_told_at_the_end(calls: Calls) -> None:
    begun = await calls.begin(LARGE, multipart=True, digest="")
    await calls.put_parts(begun.upload_id, LARGE, [1, 2, 3])

    assert await completion(calls, begun.upload_id) == ("INVALID_ARGUMENT", "INVALID_FIELD")
    await calls.complete(begun.upload_id, sha256(LARGE))
    assert await calls.missing([sha256(LARGE)]) == []


async def test_a_digest_told_twice_must_be_the_same(calls: Calls) -> None:
    begun = await calls.begin(DATA)
    await put(begun.url, begun.headers, DATA)

    assert await completion(calls, begun.upload_id, sha256(b"other")) == ("INVALID_ARGUMENT", "INVALID_FIELD")


async def test_eight_clients_that_send_the_same_bytes_leave_one_object(
    replica: Backend, calls: Calls, bucket: Bucket, postgres: Postgres
) -> None:
    both = [calls, Calls(replica.channel)]
    begun = [await both[n % 2].begin(ALIKE, multipart=True) for n in range(8)]
    for each in begun:
        await calls.put_parts(each.upload_id, ALIKE, [1])
    await asyncio.gather(*(both[n % 2].complete(each.upload_id) for n, each in enumerate(begun)))
    collector = make_collector(postgres, bucket, timedelta(1), lambda: datetime.now(UTC))
    await collector.garbage.delete_all()

    assert len(await keys(bucket)) == 1
    assert await calls.missing([sha256(ALIKE)]) == []


@pytest.mark.parametrize("cut", [slice(0, 100), slice(PART_BYTES, PART_BYTES + 100)])
async def test_other_bytes_than_announced_are_refused_and_removed(calls: Calls, bucket: Bucket, cut: slice) -> None:
    wrong = bytearray(LARGE)
    wrong[cut] = bytes(100)
    begun = await calls.begin(LARGE, multipart=True)
    await calls.put_parts(begun.upload_id, bytes(wrong), [1, 2, 3])

    assert await completion(calls, begun.upload_id) == ("INVALID_ARGUMENT", "DIGEST_MISMATCH")
    assert await calls.missing([sha256(LARGE), sha256(bytes(wrong))]) == [sha256(LARGE), sha256(bytes(wrong))]
    assert await completion(calls, begun.upload_id) == ("NOT_FOUND", "UPLOAD_NOT_FOUND")
    await calls.upload_parts(LARGE)
    assert await calls.missing([sha256(LARGE)]) == []


async def test_a_part_of_another_size_is_refused_by_the_bucket(calls: Calls) -> None:
    begun = await calls.begin(LARGE, multipart=True)
    (part,) = await calls.urls(begun.upload_id, [3])

    for data in (b"", bytes(part.size_bytes - 1), bytes(part.size_bytes + 1)):
        with pytest.raises(HTTPError, match="403"):
            await put(part.url, part.headers, data)
    assert list((await calls.query(begun.upload_id)).missing_part_numbers) == [1, 2, 3]


async def test_bytes_sent_after_the_upload_was_complete_change_nothing(calls: Calls, run: str) -> None:
    begun = await calls.begin(DATA)
    await put(begun.url, begun.headers, DATA)
    await calls.complete(begun.upload_id)
    await calls.bind(run, {"a": sha256(DATA)})

    with pytest.raises(HTTPError, match="404"):
        await put(begun.url, begun.headers, DATA.upper())
    await calls.complete(begun.upload_id)
    assert await calls.download(run, "a") == DATA


async def test_an_upload_is_over_when_it_is_aborted(calls: Calls, bucket: Bucket) -> None:
    begun = await calls.begin(LARGE, multipart=True)
    await calls.put_parts(begun.upload_id, LARGE, [1, 2, 3])
    await calls.abort(begun.upload_id)
    await calls.abort(begun.upload_id)

    assert await completion(calls, begun.upload_id) == ("NOT_FOUND", "UPLOAD_NOT_FOUND")
    assert await calls.missing([sha256(LARGE)]) == [sha256(LARGE)]


async def test_an_upload_that_is_complete_cannot_be_aborted_and_takes_nothing(calls: Calls) -> None:
    begun = await calls.begin(DATA, multipart=True)
    await calls.put_parts(begun.upload_id, DATA, [1])
    await calls.complete(begun.upload_id)
    await calls.abort(begun.upload_id)

    assert await calls.missing([sha256(DATA)]) == []
    urls = calls.stub.GetUploadUrls(
        messages.GetUploadUrlsRequest(parent=WORKSPACE, upload_id=begun.upload_id, part_numbers=[1])
    )
    assert (await failure_of(urls)).reason == "UPLOAD_COMPLETED"


async def test_an_upload_belongs_to_its_workspace(calls: Calls) -> None:
    """Another workspace is told the same as of an upload that never was."""
    begun = await calls.begin(LARGE, multipart=True)
    for workspace, upload_id in [(WORKSPACE, "0" * 32), ("workspaces/other", begun.upload_id)]:
        name: dict[str, Any] = {"parent": workspace, "upload_id": upload_id}
        for call in (
            calls.stub.CompleteUpload(messages.CompleteUploadRequest(**name)),
            calls.stub.QueryUpload(messages.QueryUploadRequest(**name)),
            calls.stub.GetUploadUrls(messages.GetUploadUrlsRequest(**name, part_numbers=[1])),
            calls.stub.UploadBlob(iter([messages.UploadBlobRequest(start=messages.UploadBlobStart(**name))])),
        ):
            failure = await failure_of(call)
            assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "UPLOAD_NOT_FOUND")
        await calls.stub.AbortUpload(messages.AbortUploadRequest(**name))
    assert list((await calls.query(begun.upload_id)).missing_part_numbers) == [1, 2, 3]


async def test_a_digest_is_no_key_to_the_bytes_of_another_workspace(calls: Calls, backend: Backend) -> None:
    digest = await calls.upload(DATA)
    await make_workspace(backend.channel, "other")
    other = Calls(backend.channel, "workspaces/other")

    assert await other.missing([digest]) == [digest]
    assert not (await other.begin(DATA)).exists
    assert (
        await other.snapshot([messages.SnapshotEntry(path="a", digest=digest, size_bytes=len(DATA))])
    ).missing_digests


async def test_bytes_travel_through_the_service_and_go_on_where_they_broke(calls: Calls, run: str) -> None:
    begun = await calls.begin(LARGE, multipart=True)
    pieces = [LARGE[at : at + 1_000_000] for at in range(0, len(LARGE), 1_000_000)]

    assert await calls.relay(begun.upload_id, pieces[:10]) == PART_BYTES
    assert (await calls.query(begun.upload_id)).committed_size_bytes == PART_BYTES
    rest = [LARGE[at : at + 700_001] for at in range(PART_BYTES, len(LARGE), 700_001)]
    assert await calls.relay(begun.upload_id, rest, PART_BYTES) == len(LARGE)
    await calls.complete(begun.upload_id)
    await calls.bind(run, {"a": sha256(LARGE)})
    assert await calls.read(run, "a") == LARGE


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        ([], "PROTOCOL_ERROR"),
        ([messages.UploadBlobRequest(data=b"x")], "PROTOCOL_ERROR"),
        (["start", "start"], "PROTOCOL_ERROR"),
        (["start", messages.UploadBlobRequest(data=DATA + b"x")], "PROTOCOL_ERROR"),
        (["start", messages.UploadBlobRequest(data=DATA), messages.UploadBlobRequest(data=b"x")], "PROTOCOL_ERROR"),
        (["start", messages.UploadBlobRequest(data=bytes(2**20 + 1))], "INVALID_FIELD"),
        (["from 1"], "OFFSET_MISMATCH"),
        (["from -1"], "INVALID_FIELD"),
    ],
)
async def test_a_wrong_stream_of_bytes_is_refused(
    calls: Calls, sent: list[messages.UploadBlobRequest | str], reason: str
) -> None:
    upload_id = (await calls.begin(DATA, multipart=True)).upload_id
    offsets = {"start": 0, "from 1": 1, "from -1": -1}
    requests = [
        messages.UploadBlobRequest(
            start=messages.UploadBlobStart(parent=WORKSPACE, upload_id=upload_id, offset_bytes=offsets[each])
        )
        if isinstance(each, str)
        else each
        for each in sent
    ]

    assert (await failure_of(calls.stub.UploadBlob(iter(requests)))).reason == reason


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_abandoned_uploads_are_removed_after_a_day_and_blobs_stay(postgres: Postgres, bucket: Bucket) -> None:
    clock = Clock()
    collector = make_collector(postgres, bucket, timedelta(days=30), clock)
    uploads = Uploads(UploadStore(postgres), bucket, collector.garbage, clock)
    workspace, parts = WorkspaceName("space"), Parts.cut(len(DATA), multipart=True)
    done, left = [(await uploads.begin(workspace, sha256(DATA), parts)).upload for _ in range(2)]
    for upload in (done, left):
        await bucket.put_part(upload.object, upload.parts_id, 1, DATA)
    await uploads.complete(workspace, done.upload_id, None)

    clock.now += timedelta(hours=24, minutes=59)
    assert (await collector.collect()).uploads == 0
    clock.now += timedelta(minutes=2)
    assert (await collector.collect()).uploads == 2

    assert await keys(bucket) == [done.object]
    assert [each.key async for each in bucket.list_unfinished("")] == []
    assert await postgres.fetchval("SELECT count(*) FROM artifacts.upload") == 0
    await uploads.close()
