"""Bytes that changed in the bucket are never served: they are found when read, and by a scrubber."""

import random
from datetime import UTC, datetime

import grpc
import pytest

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.manifest_scrubbing import ManifestScrubber
from runstream_server.artifacts.scrub_store import ScrubStore
from runstream_server.artifacts.scrubbing import Scrub, Scrubber
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.append_clients import failure_of_stream
from tests.artifact_calls import Calls, file_entry, sha256
from tests.conftest import Backend


@pytest.fixture
def calls(backend: Backend) -> Calls:
    return Calls(backend.channel)


async def scrub(postgres: Postgres, bucket: Bucket) -> Scrub:
    def now() -> datetime:
        return datetime.now(UTC)

    contents = Contents(ContentStore(postgres), bucket, now)
    return await Scrubber(ScrubStore(postgres), contents, now).scrub()


def flipped(data: bytes, choice: random.Random) -> bytes:
    place = choice.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << choice.randrange(8)]) + data[place + 1 :]


async def reading(calls: Calls, run: str, path: str, offset: int = 0, limit: int = 0) -> tuple[str, str]:
    request = messages.ReadArtifactRequest(run=run, path=path, offset_bytes=offset, limit_bytes=limit)
    failure = await failure_of_stream(calls.stub.ReadArtifact(request))
    return failure.code.name, failure.reason


async def test_every_change_is_found_when_it_is_read_and_by_the_scrubber_and_mended_by_sending_again(
    calls: Calls, bucket: Bucket, postgres: Postgres, run: str
) -> None:
    choice = random.Random(11)
    blobs = [choice.randbytes(choice.randrange(1, 2_000)) for _ in range(40)]
    for data in blobs:
        await calls.store(data)
    await calls.bind(run, {str(n): sha256(data) for n, data in enumerate(blobs)})
    keys = {key.rpartition("/")[2][:64]: key for key in [each.key async for each in bucket.list("blobs/")]}
    for data in blobs[:25]:
        await bucket.put(keys[sha256(data)], flipped(data, choice))
    for data in blobs[25:30]:
        await bucket.put(keys[sha256(data)], data[: choice.randrange(len(data))])
    await bucket.put(keys[sha256(blobs[30])], blobs[31])
    await bucket.put(keys[sha256(blobs[31])], blobs[30])
    await bucket.delete(keys[sha256(blobs[32])])
    found = await scrub(postgres, bucket)

    assert {each.digest for each in found.damaged} == {sha256(data) for data in blobs[:33]}
    assert [each.paths for each in found.damaged if each.digest == sha256(blobs[7])] == [[f"{run}/7"]]
    for n, data in enumerate(blobs):
        if n < 33:
            assert (await reading(calls, run, str(n)))[0] == "DATA_LOSS"
        else:
            assert await calls.read(run, str(n)) == data
    missing = await calls.missing([sha256(data) for data in blobs])
    assert missing == [sha256(data) for data in blobs[:33]]
    for data in blobs[:33]:
        await calls.store(data)
    assert (await scrub(postgres, bucket)).damaged == []
    assert [await calls.read(run, str(n)) for n in range(40)] == blobs


async def test_what_is_well_before_a_damaged_place_is_read_and_nothing_of_it_and_after(
    calls: Calls, bucket: Bucket, run: str
) -> None:
    data = random.Random(3).randbytes(9 << 20)
    await calls.bind(run, {"a": await calls.upload_parts(data)})
    (key,) = [each.key async for each in bucket.list("blobs/")]
    place = (5 << 20) + 77
    await bucket.put(key, data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :])

    assert await calls.read(run, "a", 1_000, (5 << 20) - 1_000) == data[1_000 : 5 << 20]
    assert await reading(calls, run, "a", 5 << 20, 1) == ("DATA_LOSS", "DATA_LOSS")
    assert await reading(calls, run, "a", 4 << 20) == ("DATA_LOSS", "DATA_LOSS")
    await calls.upload_parts(data)
    assert await calls.read(run, "a") == data


async def test_a_pack_with_damage_gives_the_other_blobs_and_ends_an_archive(
    calls: Calls, bucket: Bucket, postgres: Postgres, run: str
) -> None:
    blobs = [b"%02d" % n * 50 for n in range(30)]
    digests = await calls.store(*blobs)
    await calls.bind(run, {str(n): digest for n, digest in enumerate(digests)})
    made = await calls.snapshot([file_entry(f"{n:02}", data) for n, data in enumerate(blobs)])
    (key,) = [each.key async for each in bucket.list("packs/")]
    pack = await bucket.get(key)
    await bucket.put(key, pack.replace(blobs[7], blobs[7][::-1]))

    assert await calls.read(run, "6") == blobs[6]
    assert await reading(calls, run, "7") == ("DATA_LOSS", "DATA_LOSS")
    failure = await failure_of_stream(calls.stub.ReadSnapshot(messages.ReadSnapshotRequest(name=made.snapshot.name)))
    assert failure.code is grpc.StatusCode.DATA_LOSS
    assert [each.digest for each in (await scrub(postgres, bucket)).damaged] == [digests[7]]
    await calls.store(blobs[7])
    assert await calls.read(run, "7") == blobs[7]
    assert await calls.archive(made.snapshot.name)


async def test_bytes_of_the_release_before_are_read_and_get_checksums(
    calls: Calls, bucket: Bucket, postgres: Postgres, run: str
) -> None:
    """They are where their digest says, and no row says where, if that release still ran when they came."""
    data = random.Random(5).randbytes(3 << 20)
    digest = sha256(data)
    await bucket.put(f"blobs/sha256/{digest[:2]}/{digest}", data)
    await postgres.execute(
        "INSERT INTO artifacts.blob (workspace, digest, size_bytes, create_time) VALUES ('space', $1, $2, now())",
        bytes.fromhex(digest),
        len(data),
    )
    await calls.bind(run, {"a": digest})

    assert await calls.missing([digest]) == []
    assert await calls.download(run, "a") == data
    assert await calls.read(run, "a", 2_000_000, 10) == data[2_000_000:2_000_010]


async def test_a_manifest_that_was_changed_ends_its_archive_and_is_found_by_the_scrubber(
    calls: Calls, postgres: Postgres, run: str
) -> None:
    await calls.store(b"one", b"other")
    made = await calls.snapshot([file_entry("a", b"one"), file_entry("b", b"other")])
    well = await calls.snapshot([file_entry("a", b"one")])
    await postgres.execute("UPDATE artifacts.snapshot_entry SET executable = true WHERE path = 'b'")

    request = messages.ReadSnapshotRequest(name=made.snapshot.name)
    assert (await failure_of_stream(calls.stub.ReadSnapshot(request))).code is grpc.StatusCode.DATA_LOSS
    assert await calls.archive(well.snapshot.name)
    found = await ManifestScrubber(SnapshotStore(postgres)).scrub()
    assert (found.snapshots, found.damaged_snapshots) == (2, [made.snapshot.name])
