"""Files travel between this machine and the bucket, whole or not at all."""

import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream._transfer import download, upload
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.exceptions import ServiceException, UserErrorException
from runstream_server.config import Config
from runstream_server.objectstore import Bucket
from tests.conftest import Backend, serve
from tests.make_runs import make_run

SIZES = (0, 1, 100_000, 3_000_000)


@pytest.fixture
async def connection(backend: Backend) -> AsyncIterator[Connection]:
    yield Connection.to(backend.address)
    await close_connections()


async def names(connection: Connection, run: str) -> list[str]:
    response = await connection.call(connection.artifacts.ListArtifacts, artifacts.ListArtifactsRequest(parent=run))
    return [artifact.path for artifact in response.artifacts]


def blob_key(content: bytes) -> str:
    digest = hashlib.sha256(content).hexdigest()
    return f"blobs/sha256/{digest[:2]}/{digest}"


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_comes_back_as_it_was(connection: Connection, run: str, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "model").write_bytes(content)
    await upload(connection, run, [("outputs/model", tmp_path / "model")])
    target = tmp_path / "new" / "folder" / "model"
    await download(connection, run, "outputs/model", target)
    assert target.read_bytes() == content
    assert [path.name for path in target.parent.iterdir()] == ["model"]


async def test_many_files_and_bytes_are_uploaded_at_once(connection: Connection, run: str, tmp_path: Path) -> None:
    files: list[tuple[str, Path | bytes]] = [(f"outputs/{number:03}", b"%d" % (number % 20)) for number in range(100)]
    (tmp_path / "file").write_bytes(b"from a file")
    files.append(("outputs/file", tmp_path / "file"))
    await upload(connection, run, files)
    assert await names(connection, run) == [name for name, _ in files]
    await download(connection, run, "outputs/042", tmp_path / "042")
    assert (tmp_path / "042").read_bytes() == b"2"


async def test_uploading_again_changes_nothing(connection: Connection, run: str) -> None:
    await upload(connection, run, [("a", b"1")])
    await upload(connection, run, [("a", b"1"), ("b", b"1")])
    assert await names(connection, run) == ["a", "b"]


async def test_other_bytes_under_a_name_that_is_taken_are_refused(connection: Connection, run: str) -> None:
    await upload(connection, run, [("a", b"1")])
    with pytest.raises(UserErrorException) as caught:
        await upload(connection, run, [("b", b"3"), ("a", b"2")])
    assert caught.value.reason == "ARTIFACT_EXISTS"
    assert await names(connection, run) == ["a"]


async def test_an_unknown_artifact_is_not_found_and_leaves_no_file(
    connection: Connection, run: str, tmp_path: Path
) -> None:
    with pytest.raises(ServiceException) as caught:
        await download(connection, run, "outputs/unknown", tmp_path / "target")
    assert caught.value.status_code == 404
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_an_existing_file_is_replaced_only_by_a_whole_one(
    connection: Connection, run: str, tmp_path: Path
) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"old")
    with pytest.raises(ServiceException):
        await download(connection, run, "unknown", target)
    assert target.read_bytes() == b"old"
    await upload(connection, run, [("known", b"new")])
    await download(connection, run, "known", target)
    assert target.read_bytes() == b"new"


async def test_a_missing_file_cannot_be_uploaded(connection: Connection, run: str, tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="cannot be read: No such file"):
        await upload(connection, run, [("a", b"1"), ("b", tmp_path / "missing")])
    assert await names(connection, run) == []


async def test_a_name_that_cannot_be_is_refused(connection: Connection, run: str) -> None:
    with pytest.raises(UserErrorException):
        await upload(connection, run, [("../a", b"1")])


async def test_bytes_that_changed_in_the_bucket_are_not_handed_out(
    connection: Connection, run: str, tmp_path: Path, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runstream._transfer.attempts.ATTEMPTS", 2)
    content = b"0123456789"
    await upload(connection, run, [("a", content)])
    await bucket.put(blob_key(content), b"0123456780")
    with pytest.raises(ServiceException, match="are not those stored"):
        await download(connection, run, "a", tmp_path / "a")
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_a_bucket_that_is_away_is_told_without_the_url(config: Config, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runstream._transfer.attempts.ATTEMPTS", 1)
    lost = replace(config.bucket, public_endpoint="http://127.0.0.1:9")
    async with serve(replace(config, bucket=lost)) as backend:
        run = await make_run(backend.channel)
        with pytest.raises(ServiceException) as caught:
            await upload(Connection.to(backend.address), run, [("a", b"1")])
        await close_connections()
    assert caught.value.status_code == 503
    assert "127.0.0.1:9" in caught.value.message
    assert "X-Amz" not in str(caught.value)
