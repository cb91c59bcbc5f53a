"""Artifacts: bytes through the bucket, verified; bindings all or none."""

import asyncio
import hashlib
import urllib.request
from datetime import UTC, datetime, timedelta

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.model import Blob
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.names import WorkspaceName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of
from tests.conftest import Backend
from tests.make_runs import WORKSPACE, make_run

DATA = b"weights" * 1_000


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


async def fetch(url: str) -> bytes:
    def get() -> bytes:
        with urllib.request.urlopen(url, timeout=20) as response:
            return bytes(response.read())

    return await asyncio.to_thread(get)


async def put(begun: messages.BeginUploadResponse, data: bytes) -> None:
    def send() -> None:
        request = urllib.request.Request(begun.url, data, dict(begun.headers), method="PUT")
        with urllib.request.urlopen(request, timeout=20) as response:
            response.read()

    await asyncio.to_thread(send)


async def begin(backend: Backend, data: bytes, size: int | None = None) -> messages.BeginUploadResponse:
    request = messages.BeginUploadRequest(
        parent=WORKSPACE, digest=sha256(data), size_bytes=len(data) if size is None else size
    )
    return await stubs.artifacts(backend.channel).BeginUpload(request)


async def complete(backend: Backend, upload_id: str) -> None:
    request = messages.CompleteUploadRequest(parent=WORKSPACE, upload_id=upload_id)
    await stubs.artifacts(backend.channel).CompleteUpload(request)


async def upload(backend: Backend, data: bytes) -> str:
    begun = await begin(backend, data)
    if not begun.exists:
        await put(begun, data)
        await complete(backend, begun.upload_id)
    return sha256(data)


async def bind(backend: Backend, run: str, bindings: dict[str, str]) -> messages.BindArtifactsResponse:
    request = messages.BindArtifactsRequest(
        run=run, bindings=[messages.ArtifactBinding(path=path, digest=digest) for path, digest in bindings.items()]
    )
    return await stubs.artifacts(backend.channel).BindArtifacts(request)


async def listed(backend: Backend, run: str, prefix: str = "", page_size: int = 0) -> list[str]:
    paths: list[str] = []
    token = ""
    while True:
        request = messages.ListArtifactsRequest(parent=run, prefix=prefix, page_size=page_size, page_token=token)
        page = await stubs.artifacts(backend.channel).ListArtifacts(request)
        paths.extend(artifact.path for artifact in page.artifacts)
        token = page.next_page_token
        if not token:
            return paths


@pytest.mark.parametrize("data", [DATA, b"", b"x" * 3_000_000])
async def test_what_was_uploaded_can_be_downloaded(backend: Backend, run: str, data: bytes) -> None:
    digest = await upload(backend, data)
    bound = await bind(backend, run, {"outputs/model.bin": digest})
    downloads = await stubs.artifacts(backend.channel).GetDownloadUrls(
        messages.GetDownloadUrlsRequest(run=run, paths=["outputs/model.bin"])
    )

    assert bound.artifacts[0].size_bytes == len(data)
    assert downloads.downloads[0].artifact == bound.artifacts[0]
    assert await fetch(downloads.downloads[0].url) == data


async def test_a_blob_the_workspace_has_is_not_sent_again(backend: Backend, run: str) -> None:
    digest = await upload(backend, DATA)
    missing = await stubs.artifacts(backend.channel).FindMissingBlobs(
        messages.FindMissingBlobsRequest(parent=WORKSPACE, digests=[sha256(b"b"), digest, sha256(b"a")])
    )

    assert (await begin(backend, DATA)).exists
    assert missing.missing_digests == [sha256(b"b"), sha256(b"a")]


async def test_completing_again_changes_nothing(backend: Backend, replica: Backend, run: str) -> None:
    begun = await begin(backend, DATA)
    await put(begun, DATA)

    await asyncio.gather(*(complete(served, begun.upload_id) for served in (backend, replica, backend, replica)))
    await complete(backend, begun.upload_id)

    assert (await begin(backend, DATA)).exists


async def test_an_upload_of_which_nothing_arrived_is_not_complete(backend: Backend, run: str) -> None:
    begun = await begin(backend, DATA)
    call = stubs.artifacts(backend.channel).CompleteUpload(
        messages.CompleteUploadRequest(parent=WORKSPACE, upload_id=begun.upload_id)
    )

    failure = await failure_of(call)
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")


async def test_an_upload_that_was_not_begun_is_not_found(backend: Backend, run: str) -> None:
    begun = await begin(backend, DATA)
    for workspace, upload_id in [(WORKSPACE, "0" * 32), ("workspaces/other", begun.upload_id)]:
        call = stubs.artifacts(backend.channel).CompleteUpload(
            messages.CompleteUploadRequest(parent=workspace, upload_id=upload_id)
        )
        assert (await failure_of(call)).reason == "UPLOAD_NOT_FOUND"


async def test_other_bytes_than_announced_are_refused_and_removed(
    backend: Backend, bucket: Bucket, postgres: Postgres, run: str
) -> None:
    """A store that checks what it is sent refuses them itself; so they are put here behind its back."""
    begun = await begin(backend, DATA)
    await bucket.put(f"uploads/{begun.upload_id}/arrived", DATA.upper())
    call = stubs.artifacts(backend.channel).CompleteUpload(
        messages.CompleteUploadRequest(parent=WORKSPACE, upload_id=begun.upload_id)
    )
    failure = await failure_of(call)

    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH")
    assert [each async for each in bucket.list()] == []
    await put(begun, DATA)
    await complete(backend, begun.upload_id)
    assert (await begin(backend, DATA)).exists


async def test_bytes_sent_after_the_upload_was_complete_change_no_blob(
    backend: Backend, bucket: Bucket, run: str
) -> None:
    begun = await begin(backend, DATA)
    await put(begun, DATA)
    await complete(backend, begun.upload_id)
    await bucket.put(f"uploads/{begun.upload_id}/arrived", b"other")
    await complete(backend, begun.upload_id)

    assert await bucket.get(Blob(sha256(DATA), len(DATA)).key) == DATA


async def test_a_digest_is_no_key_to_the_bytes_of_another_workspace(backend: Backend, postgres: Postgres) -> None:
    await make_run(backend.channel)
    digest = await upload(backend, DATA)
    missing = await stubs.artifacts(backend.channel).FindMissingBlobs(
        messages.FindMissingBlobsRequest(parent="workspaces/other", digests=[digest])
    )

    assert missing.missing_digests == [digest]


async def test_bindings_are_made_all_or_none(backend: Backend, run: str) -> None:
    digest, other = await upload(backend, b"one"), await upload(backend, b"two")
    await bind(backend, run, {"a": digest})

    for bindings, code, reason in [
        ({"b": digest, "c": sha256(b"missing")}, grpc.StatusCode.FAILED_PRECONDITION, "BLOB_MISSING"),
        ({"b": digest, "a": other}, grpc.StatusCode.ALREADY_EXISTS, "ARTIFACT_EXISTS"),
    ]:
        request = messages.BindArtifactsRequest(
            run=run, bindings=[messages.ArtifactBinding(path=path, digest=each) for path, each in bindings.items()]
        )
        failure = await failure_of(stubs.artifacts(backend.channel).BindArtifacts(request))
        assert (failure.code, failure.reason) == (code, reason)
    assert await listed(backend, run) == ["a"]


async def test_binding_again_to_the_same_blob_changes_nothing(backend: Backend, run: str) -> None:
    digest = await upload(backend, b"one")

    first = await bind(backend, run, {"b": digest, "a": digest})
    again = await bind(backend, run, {"a": digest, "c": digest, "b": digest})

    assert [artifact.path for artifact in again.artifacts] == ["a", "c", "b"]
    assert {artifact.path: artifact.create_time.ToNanoseconds() for artifact in first.artifacts}.items() <= {
        artifact.path: artifact.create_time.ToNanoseconds() for artifact in again.artifacts
    }.items()


async def test_callers_that_bind_the_same_paths_at_once_agree(backend: Backend, replica: Backend, run: str) -> None:
    digests = [await upload(backend, data) for data in (b"one", b"two")]
    paths = [f"outputs/{n}" for n in range(50)]

    results = await asyncio.gather(
        *(bind(served, run, dict.fromkeys(paths, digest)) for served in (backend, replica) for digest in digests),
        return_exceptions=True,
    )

    assert sorted(isinstance(result, grpc.aio.AioRpcError) for result in results) == [False, False, True, True]


async def test_a_run_that_does_not_exist_has_no_artifacts(backend: Backend, run: str) -> None:
    digest = await upload(backend, b"one")
    request = messages.BindArtifactsRequest(run=run + "x", bindings=[messages.ArtifactBinding(path="a", digest=digest)])

    assert (await failure_of(stubs.artifacts(backend.channel).BindArtifacts(request))).reason == "RUN_NOT_FOUND"


async def test_artifacts_are_listed_by_prefix_in_order_and_in_pages(backend: Backend, run: str) -> None:
    digest = await upload(backend, b"one")
    paths = ["Z", "a_b/x", "a%b", "aéb", "logs/1", "logs/2", "logs0", "log", "日本/語"]
    await bind(backend, run, dict.fromkeys(paths, digest))

    assert await listed(backend, run, page_size=2) == sorted(paths)
    assert await listed(backend, run, prefix="logs/") == ["logs/1", "logs/2"]
    assert await listed(backend, run, prefix="a_") == ["a_b/x"]
    assert await listed(backend, run, prefix="a%") == ["a%b"]
    assert await listed(backend, run, prefix="日") == ["日本/語"]
    assert await listed(backend, run, prefix="none") == []


async def test_an_unknown_artifact_has_no_url(backend: Backend, run: str) -> None:
    request = messages.GetDownloadUrlsRequest(run=run, paths=["outputs/none"])

    failure = await failure_of(stubs.artifacts(backend.channel).GetDownloadUrls(request))
    assert (failure.code, failure.reason) == (grpc.StatusCode.NOT_FOUND, "ARTIFACT_NOT_FOUND")


DIGEST = "0" * 64
RUN = "workspaces/space/runs/run"


@pytest.mark.parametrize(
    ("method", "request_", "reason"),
    [
        ("FindMissingBlobs", messages.FindMissingBlobsRequest(parent=WORKSPACE), "INVALID_FIELD"),
        ("FindMissingBlobs", messages.FindMissingBlobsRequest(parent=WORKSPACE, digests=["F" * 64]), "INVALID_FIELD"),
        (
            "FindMissingBlobs",
            messages.FindMissingBlobsRequest(parent=WORKSPACE, digests=[DIGEST] * 10_001),
            "INVALID_FIELD",
        ),
        ("BeginUpload", messages.BeginUploadRequest(parent=WORKSPACE, digest=DIGEST, size_bytes=-1), "INVALID_FIELD"),
        (
            "BeginUpload",
            messages.BeginUploadRequest(parent=WORKSPACE, digest=DIGEST, size_bytes=5 * 2**30 + 1),
            "INVALID_FIELD",
        ),
        ("BeginUpload", messages.BeginUploadRequest(parent="workspaces/none", digest=DIGEST), "WORKSPACE_NOT_FOUND"),
        ("CompleteUpload", messages.CompleteUploadRequest(parent=WORKSPACE, upload_id="../x"), "INVALID_FIELD"),
        ("BindArtifacts", messages.BindArtifactsRequest(run=RUN), "INVALID_FIELD"),
        (
            "BindArtifacts",
            messages.BindArtifactsRequest(run=RUN, bindings=[messages.ArtifactBinding(path="../a", digest=DIGEST)]),
            "INVALID_FIELD",
        ),
        (
            "BindArtifacts",
            messages.BindArtifactsRequest(run=RUN, bindings=[messages.ArtifactBinding(path="a", digest=DIGEST)] * 2),
            "INVALID_FIELD",
        ),
        (
            "BindArtifacts",
            messages.BindArtifactsRequest(
                run=RUN, bindings=[messages.ArtifactBinding(path=str(n), digest=DIGEST) for n in range(1_001)]
            ),
            "INVALID_FIELD",
        ),
        ("ListArtifacts", messages.ListArtifactsRequest(parent=RUN, prefix="\0"), "INVALID_FIELD"),
        ("ListArtifacts", messages.ListArtifactsRequest(parent=RUN, page_token="x"), "INVALID_PAGE_TOKEN"),
        ("GetDownloadUrls", messages.GetDownloadUrlsRequest(run=RUN), "INVALID_FIELD"),
    ],
)
async def test_a_wrong_request_is_refused(
    backend: Backend, run: str, method: str, request_: object, reason: str
) -> None:
    assert (await failure_of(getattr(stubs.artifacts(backend.channel), method)(request_))).reason == reason


class Clock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def test_what_uploads_left_behind_is_removed_after_a_day_and_blobs_stay(
    postgres: Postgres, bucket: Bucket
) -> None:
    clock = Clock()
    uploads = Uploads(ArtifactStore(postgres), bucket, clock)
    workspace, blob = WorkspaceName("space"), Blob(sha256(DATA), len(DATA))
    done, left = await uploads.begin(workspace, blob), await uploads.begin(workspace, blob)
    assert done is not None
    assert left is not None
    for begun in (done, left):
        await bucket.put(f"uploads/{begun.upload_id}/arrived", DATA)
    await uploads.complete(workspace, done.upload_id)

    clock.now += timedelta(hours=24, minutes=59)
    assert await uploads.sweep() == 0
    clock.now += timedelta(minutes=2)
    assert await uploads.sweep() == 2

    assert [each.key async for each in bucket.list()] == [blob.key]
    assert await postgres.fetchval("SELECT count(*) FROM artifacts.upload") == 0
    await uploads.close()
