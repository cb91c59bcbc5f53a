"""Artifacts: paths of runs, bound to blobs, listed, read and deleted."""

import asyncio

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of, failure_of_stream
from tests.artifact_calls import Calls, sha256
from tests.conftest import Backend
from tests.make_runs import WORKSPACE

DATA = b"weights" * 1_000


@pytest.fixture
def calls(backend: Backend) -> Calls:
    return Calls(backend.channel)


@pytest.mark.parametrize("data", [DATA, b"", b"x" * 3_000_000], ids=["small", "empty", "some MB"])
async def test_what_was_uploaded_can_be_downloaded(calls: Calls, run: str, data: bytes) -> None:
    digest = await calls.upload(data)
    (bound,) = await calls.bind(run, {"outputs/model.bin": digest})

    assert (bound.path, bound.size_bytes, bound.digest) == ("outputs/model.bin", len(data), digest)
    assert await calls.download(run, "outputs/model.bin") == data
    assert await calls.read(run, "outputs/model.bin") == data


@pytest.mark.parametrize(
    ("offset", "limit"), [(0, 1), (5, 0), (1 << 20, 7), ((1 << 20) - 3, 10), (2_999_999, 0), (3_000_000, 0), (7, 2**40)]
)
async def test_a_range_of_an_artifact_is_read(calls: Calls, run: str, offset: int, limit: int) -> None:
    data = bytes(range(250)) * 12_000
    await calls.bind(run, {"a": await calls.upload(data)})

    assert await calls.read(run, "a", offset, limit) == data[offset : offset + limit if limit else None]


async def test_the_first_message_of_a_read_says_what_is_read(calls: Calls, run: str) -> None:
    (bound,) = await calls.bind(run, {"a": await calls.upload(b"")})

    responses = [each async for each in calls.stub.ReadArtifact(messages.ReadArtifactRequest(run=run, path="a"))]
    assert responses == [messages.ReadArtifactResponse(artifact=bound)]


async def test_bindings_are_made_all_or_none(calls: Calls, run: str) -> None:
    digest, other = await calls.upload(b"one"), await calls.upload(b"two")
    await calls.bind(run, {"a": digest})

    for bindings, code, reason in [
        ({"b": digest, "c": sha256(b"missing")}, grpc.StatusCode.FAILED_PRECONDITION, "BLOB_MISSING"),
        ({"b": digest, "a": other}, grpc.StatusCode.ALREADY_EXISTS, "ARTIFACT_EXISTS"),
    ]:
        request = messages.BindArtifactsRequest(
            run=run, bindings=[messages.ArtifactBinding(path=path, digest=each) for path, each in bindings.items()]
        )
        failure = await failure_of(calls.stub.BindArtifacts(request))
        assert (failure.code, failure.reason) == (code, reason)
    assert await calls.listed(run) == ["a"]


async def test_a_refused_binding_says_what_is_there_and_what_was_refused(calls: Calls, run: str) -> None:
    digest, other = await calls.upload(b"one"), await calls.upload(b"two")
    await calls.bind(run, {"a": digest})

    pairs = [messages.ArtifactBinding(path="a", digest=other)]
    failure = await failure_of(calls.stub.BindArtifacts(messages.BindArtifactsRequest(run=run, bindings=pairs)))
    assert failure.metadata == {"path": "a", "digest": digest, "refused": other}


async def test_binding_again_to_the_same_blob_changes_nothing(calls: Calls, run: str) -> None:
    digest = await calls.upload(b"one")

    first = await calls.bind(run, {"b": digest, "a": digest})
    again = await calls.bind(run, {"a": digest, "c": digest, "b": digest})

    assert [artifact.path for artifact in again] == ["a", "c", "b"]
    assert {artifact.path: artifact.create_time.ToNanoseconds() for artifact in first}.items() <= {
        artifact.path: artifact.create_time.ToNanoseconds() for artifact in again
    }.items()


async def test_callers_that_bind_the_same_paths_at_once_agree(backend: Backend, replica: Backend, run: str) -> None:
    both = [Calls(backend.channel), Calls(replica.channel)]
    digests = await both[0].store(b"one", b"two")
    paths = [f"outputs/{n}" for n in range(50)]

    results = await asyncio.gather(
        *(each.bind(run, dict.fromkeys(paths, digest)) for each in both for digest in digests),
        return_exceptions=True,
    )

    assert sorted(isinstance(result, grpc.aio.AioRpcError) for result in results) == [False, False, True, True]


async def test_callers_bind_a_path_while_it_is_deleted(calls: Calls, run: str) -> None:
    (digest,) = await calls.store(b"")

    for _ in range(40):
        binds = [calls.bind(run, {"a": digest}) for _ in range(4)]
        await asyncio.gather(binds[0], binds[1], calls.delete(run, ["a"]), binds[2], binds[3])


async def test_a_run_that_does_not_exist_has_no_artifacts(calls: Calls, run: str) -> None:
    digest = await calls.upload(b"one")
    binding = messages.ArtifactBinding(path="a", digest=digest)

    for call in (
        calls.stub.BindArtifacts(messages.BindArtifactsRequest(run=run + "x", bindings=[binding])),
        calls.stub.DeleteArtifacts(messages.DeleteArtifactsRequest(run=run + "x", paths=["a"])),
    ):
        assert (await failure_of(call)).reason == "RUN_NOT_FOUND"


async def test_artifacts_are_listed_by_prefix_in_order_and_in_pages(calls: Calls, run: str) -> None:
    digest = await calls.upload(b"one")
    paths = ["Z", "a_b/x", "a%b", "aéb", "logs/1", "logs/2", "logs0", "log", "日本/語"]
    await calls.bind(run, dict.fromkeys(paths, digest))

    assert await calls.listed(run, page_size=2) == sorted(paths)
    assert await calls.listed(run, "logs/") == ["logs/1", "logs/2"]
    assert await calls.listed(run, "a_") == ["a_b/x"]
    assert await calls.listed(run, "a%") == ["a%b"]
    assert await calls.listed(run, "日") == ["日本/語"]
    assert await calls.listed(run, "none") == []


@pytest.mark.parametrize("page_size", [1, 2, 100])
async def test_folders_are_listed_once_whatever_is_in_them(calls: Calls, run: str, page_size: int) -> None:
    digest = await calls.upload(b"one")
    paths = ["a", "a.b", "a/1", "a/2/x", "a/2/y", "a0", "b/1", "b/2", "日本/語/x", "日本/z", "z"]
    await calls.bind(run, dict.fromkeys(paths, digest))

    async def folder(prefix: str) -> list[str]:
        return await calls.listed(run, prefix, page_size=page_size, delimiter="/")

    assert await folder("") == ["a", "a.b", "a/", "a0", "b/", "z", "日本/"]
    assert await folder("a/") == ["a/1", "a/2/"]
    assert await folder("a") == ["a", "a.b", "a/", "a0"]
    assert await folder("a/2/") == ["a/2/x", "a/2/y"]
    assert await folder("日本/") == ["日本/z", "日本/語/"]
    assert await folder("none/") == []


async def test_the_folders_of_a_run_of_many_files_are_listed(calls: Calls, run: str, postgres: Postgres) -> None:
    workspace, _, name = run.removeprefix("workspaces/").partition("/runs/")
    await postgres.execute(
        """
        INSERT INTO artifacts.artifact (workspace, run, path, digest, size_bytes, create_time)
        SELECT $1, $2, 'f' || n % 100 || '/' || n, sha256('x'), 1, now() FROM generate_series(1, 20000) AS n
        """,
        workspace,
        name,
    )

    assert len(await calls.listed(run, delimiter="/")) == 100
    assert len(await calls.listed(run, "f5/", delimiter="/")) == 200
    assert await calls.delete(run, prefix="f") == 20_000


async def test_deleted_paths_are_free_again_and_unknown_ones_are_passed_over(calls: Calls, run: str) -> None:
    one, two = await calls.store(b"one", b"two")
    await calls.bind(run, {"a": one, "b/1": one, "b/2": one, "b0": one})

    assert await calls.delete(run, ["a", "none"]) == 1
    assert await calls.delete(run, ["a", "none"]) == 0
    assert await calls.delete(run, prefix="b/") == 2
    assert await calls.listed(run) == ["b0"]
    await calls.bind(run, {"a": two})
    assert await calls.read(run, "a") == b"two"


async def test_an_unknown_artifact_cannot_be_read(calls: Calls, run: str) -> None:
    url = calls.stub.GetDownloadUrls(messages.GetDownloadUrlsRequest(run=run, paths=["outputs/none"]))
    read = calls.stub.ReadArtifact(messages.ReadArtifactRequest(run=run, path="outputs/none"))

    for failure in (await failure_of(url), await failure_of_stream(read)):
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
        ("BeginUpload", messages.BeginUploadRequest(parent=WORKSPACE, size_bytes=1), "INVALID_FIELD"),
        (
            "BeginUpload",
            messages.BeginUploadRequest(parent=WORKSPACE, digest=DIGEST, size_bytes=2**40 + 1, multipart=True),
            "INVALID_FIELD",
        ),
        ("BeginUpload", messages.BeginUploadRequest(parent=WORKSPACE, digest=DIGEST), "DIGEST_MISMATCH"),
        ("BatchUploadBlobs", messages.BatchUploadBlobsRequest(parent=WORKSPACE), "INVALID_FIELD"),
        (
            "BatchUploadBlobs",
            messages.BatchUploadBlobsRequest(parent=WORKSPACE, blobs=[messages.SmallBlob()] * 1_001),
            "INVALID_FIELD",
        ),
        (
            "BatchUploadBlobs",
            messages.BatchUploadBlobsRequest(parent=WORKSPACE, blobs=[messages.SmallBlob(data=bytes(2**20 + 1))]),
            "INVALID_FIELD",
        ),
        (
            "BatchUploadBlobs",
            messages.BatchUploadBlobsRequest(parent="workspaces/none", blobs=[messages.SmallBlob()]),
            "WORKSPACE_NOT_FOUND",
        ),
        ("GetUploadUrls", messages.GetUploadUrlsRequest(parent=WORKSPACE, upload_id="x"), "INVALID_FIELD"),
        (
            "GetUploadUrls",
            messages.GetUploadUrlsRequest(parent=WORKSPACE, upload_id="x", part_numbers=range(1_001)),
            "INVALID_FIELD",
        ),
        ("QueryUpload", messages.QueryUploadRequest(parent=WORKSPACE, upload_id="%"), "INVALID_FIELD"),
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
        ("ListArtifacts", messages.ListArtifactsRequest(parent=RUN, delimiter="//"), "INVALID_FIELD"),
        ("DeleteArtifacts", messages.DeleteArtifactsRequest(run=RUN), "INVALID_FIELD"),
        ("DeleteArtifacts", messages.DeleteArtifactsRequest(run=RUN, paths=["a"], prefix="b"), "INVALID_FIELD"),
        ("GetSnapshot", messages.GetSnapshotRequest(name=WORKSPACE), "INVALID_FIELD"),
        ("GetSnapshot", messages.GetSnapshotRequest(name=f"{WORKSPACE}/snapshots/{DIGEST}"), "SNAPSHOT_NOT_FOUND"),
        (
            "ListSnapshotEntries",
            messages.ListSnapshotEntriesRequest(parent=f"{WORKSPACE}/snapshots/{DIGEST}"),
            "SNAPSHOT_NOT_FOUND",
        ),
        ("CreateSnapshot", messages.CreateSnapshotRequest(parent="workspaces/none"), "WORKSPACE_NOT_FOUND"),
        ("ListArtifacts", messages.ListArtifactsRequest(parent=RUN, page_token="x"), "INVALID_PAGE_TOKEN"),
        ("GetDownloadUrls", messages.GetDownloadUrlsRequest(run=RUN), "INVALID_FIELD"),
        ("BatchReadArtifacts", messages.BatchReadArtifactsRequest(run=RUN), "INVALID_FIELD"),
        ("BatchReadArtifacts", messages.BatchReadArtifactsRequest(run=RUN, paths=["a", "a"]), "INVALID_FIELD"),
        ("BatchReadArtifacts", messages.BatchReadArtifactsRequest(run=RUN, paths=["a/../b"]), "INVALID_FIELD"),
        (
            "BatchReadArtifacts",
            messages.BatchReadArtifactsRequest(run=RUN, paths=[str(n) for n in range(1_001)]),
            "INVALID_FIELD",
        ),
        ("BatchReadArtifacts", messages.BatchReadArtifactsRequest(run="runs/run", paths=["a"]), "INVALID_FIELD"),
    ],
)
async def test_a_wrong_request_is_refused(
    backend: Backend, run: str, method: str, request_: object, reason: str
) -> None:
    assert (await failure_of(getattr(Calls(backend.channel).stub, method)(request_))).reason == reason
