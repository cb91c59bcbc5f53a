"""What bytes are is the same however they are read."""

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runstream_server.artifacts.digesting import digest_file, digest_of, digest_stream
from runstream_server.artifacts.model import BLOCK_BYTES


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES, BLOCK_BYTES + 1, 9 * BLOCK_BYTES + 5])
async def test_memory_streams_and_files_of_the_same_bytes_have_the_same_digests(size: int, tmp_path: Path) -> None:
    data = random.Random(size).randbytes(size)
    (tmp_path / "file").write_bytes(data)

    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, size, 100_000):
            yield data[start : start + 100_000]

    expected = await digest_stream(pieces())

    assert digest_of(data) == expected
    assert await digest_file(tmp_path / "file") == expected
