"""Packs, checksums, parts and archives, without anything around them."""

import hashlib
import io
import random
import unicodedata
import zipfile
import zlib
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.artifacts.archive import Archive
from runstream_server.artifacts.digesting import block_is_well, digest_of, digest_stream
from runstream_server.artifacts.model import BLOCK_BYTES, MAX_BLOB_BYTES, MIB, Blob, Parts
from runstream_server.artifacts.packs import make_pack, read_index
from runstream_server.artifacts.snapshot_model import SnapshotEntry, snapshot_id
from runstream_server.errors import InvalidField
from runstream_server.paths import check_new_path, check_path


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_a_pack_gives_back_what_was_put_in(blobs: list[bytes]) -> None:
    named = [(hashlib.sha256(data).hexdigest(), data) for data in blobs]
    pack, starts = make_pack(named)

    assert read_index(pack) == [(digest, start, len(data)) for (digest, data), start in zip(named, starts, strict=True)]
    assert [pack[start : start + len(data)] for (_, data), start in zip(named, starts, strict=True)] == blobs


@given(st.binary(max_size=100))
def test_what_is_no_pack_is_told(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a pack"):
        read_index(data)


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1, 3 * BLOCK_BYTES])
async def test_bytes_have_the_same_digests_however_they_come(size: int) -> None:
    data = random.Random(size).randbytes(size)

    async def pieces() -> AsyncIterator[bytes]:
        for at in range(0, size, 70_001):
            yield data[at : at + 70_001]

    digested = await digest_stream(pieces())

    assert digested == digest_of(data)
    assert digested.blob == Blob(hashlib.sha256(data).hexdigest(), size)
    assert digested.checksums == b"".join(
        zlib.crc32(data[at : at + BLOCK_BYTES]).to_bytes(4, "little") for at in range(0, size, BLOCK_BYTES)
    )
    for at in range(0, size, BLOCK_BYTES):
        block = data[at : at + BLOCK_BYTES]
        assert block_is_well(digested.checksums, at // BLOCK_BYTES, block)
        assert not block_is_well(digested.checksums, at // BLOCK_BYTES, block[:-1])


@given(st.integers(1, MAX_BLOB_BYTES))
def test_parts_cover_a_blob_within_what_buckets_take(size: int) -> None:
    parts = Parts.cut(size, multipart=True)
    numbers = {1, parts.count, max(1, parts.count - 1)}

    assert 1 <= parts.count <= 10_000
    assert 5 * MIB <= parts.part_bytes <= 5 * 1024 * MIB
    assert all(parts.part_size(number) == parts.part_bytes for number in numbers - {parts.count})
    assert parts.offset(parts.count) + parts.part_size(parts.count) == size


def test_the_order_of_entries_and_their_sizes_do_not_name_a_snapshot() -> None:
    entries = [
        SnapshotEntry("b", Blob("0" * 64, 1), executable=False),
        SnapshotEntry("a/é", Blob("1" * 64, 2), executable=True),
        SnapshotEntry("c", None, executable=False),
    ]

    assert snapshot_id(entries) == snapshot_id(entries[::-1])
    assert snapshot_id(entries) == "8a0f8162c617f700f3d438f5960648c145a471e2a198d918e9e35ec5b552e343"
    assert snapshot_id(entries[:2]) != snapshot_id(entries)


async def test_an_archive_that_is_given_up_holds_on_to_nothing() -> None:
    archive = Archive()
    data = [b"x" * 10_000]
    pieces = await archive.add_small([(SnapshotEntry("a", Blob("0" * 64, 10_000), executable=False), data[0])])
    archive.close()
    archive.close()

    assert pieces


async def test_many_names_come_out_of_an_archive_as_they_went_in() -> None:
    names = ["ä", "日本/語.py", "a b", "%41", "x" * 200]
    archive = Archive()
    pieces = list(
        await archive.add_small([(SnapshotEntry(name, Blob("0" * 64, 1), executable=False), b"1") for name in names])
    )
    pieces.extend(archive.finish())

    with zipfile.ZipFile(io.BytesIO(b"".join(pieces))) as made:
        assert made.namelist() == names


@given(st.text(max_size=30))
def test_a_path_that_is_taken_stays_below_its_folder_everywhere(path: str) -> None:
    try:
        check_new_path(path, "path")
    except InvalidField:
        return
    parts = path.split("/")
    assert check_path(path, "path") == path
    assert not {"", ".", ".."} & set(parts)
    assert "\\" not in path
    assert "\0" not in path
    assert not (parts[0][0].isascii() and parts[0][0].isalpha() and parts[0][1:2] == ":")
    assert not any(unicodedata.category(character) == "Cc" for character in path)
