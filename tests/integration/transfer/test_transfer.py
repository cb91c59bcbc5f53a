"""Files travel between this machine and the bucket, whole or not at all."""

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runstream._channel import Connection
from runstream._channel.address import STATE_VARIABLE
from runstream._channel.connection import close_connections
from runstream._transfer import download, download_all, missing_of, upload
from runstream._transfer.settings import Settings
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.exceptions import ServiceException, UserErrorException
from runstream_server.objectstore import Bucket
from tests.conftest import Backend

MEGABYTE = 1 << 20
SIZES = (0, 1, 100_000, MEGABYTE, MEGABYTE + 1, 3_000_000)
IMPATIENT = Settings(attempts=2)
IN_RANGES = Settings(range_bytes=MEGABYTE)


@pytest.fixture
async def connection(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Connection]:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path_factory.mktemp("state")))
    yield Connection.to(backend.address)
    await close_connections()


async def names(connection: Connection, run: str) -> list[str]:
    response = await connection.call(connection.artifacts.ListArtifacts, artifacts.ListArtifactsRequest(parent=run))
    return [artifact.path for artifact in response.artifacts]


async def blob_keys(bucket: Bucket, content: bytes) -> list[str]:
    """Where the bucket has a content."""
    digest = hashlib.sha256(content).hexdigest()
    return [each.key async for each in bucket.list(f"blobs/sha256/{digest[:2]}/{digest}")]


def listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("size", SIZES)
async def test_a_file_comes_back_as_it_was(connection: Connection, run: str, tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "model").write_bytes(content)
    await upload(connection, run, [("outputs/model", tmp_path / "model")])
    target = tmp_path / "new" / "folder" / "model"
    await download(connection, run, "outputs/model", target)
    assert target.read_bytes() == content
    assert listed(target.parent) == ["model"]


async def test_a_large_file_travels_in_parts_and_ranges(connection: Connection, run: str, tmp_path: Path) -> None:
    content = os.urandom(20 * MEGABYTE + 7)
    await upload(connection, run, [("large", content)])
    await download(connection, run, "large", tmp_path / "large", IN_RANGES)
    assert (tmp_path / "large").read_bytes() == content
    assert listed(tmp_path) == ["large"]


async def test_many_files_and_bytes_are_uploaded_at_once(connection: Connection, run: str, tmp_path: Path) -> None:
    files: list[tuple[str, Path | bytes]] = [(f"outputs/{number:03}", b"%d" % (number % 20)) for number in range(100)]
    (tmp_path / "file").write_bytes(b"from a file")
    files.append(("outputs/file", tmp_path / "file"))
    await upload(connection, run, files)
    assert await names(connection, run) == [name for name, _ in files]
    await download(connection, run, "outputs/042", tmp_path / "042")
    assert (tmp_path / "042").read_bytes() == b"2"


async def test_small_files_that_do_not_fit_into_one_message_come_back(
    connection: Connection, run: str, tmp_path: Path
) -> None:
    contents = {f"{number:04}": os.urandom(4_096 if number else MEGABYTE) for number in range(1_200)}
    await upload(connection, run, list(contents.items()))
    targets = [(name, tmp_path / name) for name in list(contents)[::60]]
    await download_all(connection, run, targets, batch=7)
    assert {name: target.read_bytes() for name, target in targets} == {name: contents[name] for name, _ in targets}


async def test_uploading_again_changes_nothing(connection: Connection, run: str) -> None:
    await upload(connection, run, [("a", b"1")])
    await upload(connection, run, [("a", b"1"), ("b", b"1")])
    assert await names(connection, run) == ["a", "b"]


async def test_the_same_bytes_may_come_from_many_at_once(connection: Connection, run: str, tmp_path: Path) -> None:
    content = os.urandom(2 * MEGABYTE)
    await asyncio.gather(*(upload(connection, run, [(f"copy-{number}", content)]) for number in range(8)))
    assert await names(connection, run) == [f"copy-{number}" for number in range(8)]
    await download(connection, run, "copy-5", tmp_path / "copy")
    assert (tmp_path / "copy").read_bytes() == content


async def test_bytes_that_the_workspace_has_are_not_sent_again(
    connection: Connection, run: str, bucket: Bucket
) -> None:
    content = os.urandom(2 * MEGABYTE)
    await upload(connection, run, [("a", content)])
    keys = [each.key async for each in bucket.list()]
    await upload(connection, run, [("b", content)])
    assert [each.key async for each in bucket.list()] == keys


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
    assert listed(tmp_path) == []


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


async def test_a_name_that_cannot_be_is_refused_before_anything_is_sent(connection: Connection, run: str) -> None:
    with pytest.raises(UserErrorException, match="cannot be stored"):
        await upload(connection, run, [("a", b"1"), ("../a", b"1")])
    digest = hashlib.sha256(b"1").hexdigest()
    assert await missing_of(connection, run.partition("/runs/")[0], [digest]) == [digest]


@pytest.mark.parametrize("settings", [IMPATIENT, replace(IN_RANGES, attempts=2)], ids=["whole", "in ranges"])
async def test_bytes_that_changed_in_the_bucket_are_not_handed_out(
    connection: Connection, run: str, tmp_path: Path, bucket: Bucket, settings: Settings
) -> None:
    content = os.urandom(3 * MEGABYTE)
    await upload(connection, run, [("a", content)])
    for key in await blob_keys(bucket, content):
        await bucket.put(key, content[:-1] + bytes([content[-1] ^ 1]))
    with pytest.raises(ServiceException, match="are not those stored"):
        await download(connection, run, "a", tmp_path / "a", settings)
    assert listed(tmp_path) == []


class Expected:
    """A meter that adds up what is to be sent."""

    def __init__(self) -> None:
        self.size = 0
        self.moved = 0

    def expect(self, size: int) -> None:
        """Adds it."""
        self.size += size

    def advance(self, size: int) -> None:
        """Adds it."""
        self.moved += size


async def test_bytes_that_many_files_have_are_sent_once(connection: Connection, run: str, tmp_path: Path) -> None:
    same, other = tmp_path / "same", tmp_path / "other"
    same.write_bytes(b"same")
    other.write_bytes(b"other")
    meter = Expected()
    files = [(f"same-{number:04}", same) for number in range(2_100)]

    await upload(connection, run, [*files, ("other", other)], meter=meter)

    assert (meter.size, meter.moved) == (len(b"same") + len(b"other"),) * 2
    await download(connection, run, "same-2099", tmp_path / "target")
    assert (tmp_path / "target").read_bytes() == b"same"


async def test_files_of_all_sizes_keep_their_names(connection: Connection, run: str, tmp_path: Path) -> None:
    sizes = [0, 3, 2 * MEGABYTE, 5, 0, MEGABYTE, MEGABYTE + 1, 7]
    contents = {f"file-{place}": os.urandom(size) for place, size in enumerate(sizes)}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    sources: list[tuple[str, Path | bytes]] = [(name, tmp_path / name) for name in contents]
    settings = Settings(eager_bytes=2 * MEGABYTE)

    await upload(connection, run, [*sources, ("bytes", b"12"), ("more", os.urandom(2 * MEGABYTE))], settings)

    for name, content in {**contents, "bytes": b"12"}.items():
        await download(connection, run, name, tmp_path / "target")
        assert (tmp_path / "target").read_bytes() == content
