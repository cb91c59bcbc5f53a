"""The S3 server as a child process."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import pytest

from runstream_server.config import BucketConfig
from runstream_server.embedded.errors import EmbeddedMissing, FolderInUse
from runstream_server.embedded.s3 import EmbeddedS3, run_s3
from runstream_server.objectstore import open_bucket
from tests.conftest import short_folder

SECONDS = 60

# Runs a server and tells its process id, until its standard input ends.
STARTER = """
import asyncio, sys
from pathlib import Path
from runstream_server.embedded.s3 import run_s3

async def main():
    async with run_s3(Path(sys.argv[1])) as server:
        print(server.pid, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""


@pytest.fixture
def folder() -> Iterator[Path]:
    """An empty folder."""
    with short_folder() as path:
        yield path


def config(server: EmbeddedS3) -> BucketConfig:
    """How to reach the server's bucket."""
    return BucketConfig(
        endpoint=server.endpoint,
        public_endpoint=server.endpoint,
        access_key=server.access_key,
        secret_key=server.secret_key,
        bucket=server.bucket,
    )


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o777


async def test_objects_keys_and_port_stay_from_one_start_to_the_next(folder: Path) -> None:
    async with run_s3(folder) as first, open_bucket(config(first)) as bucket:
        await bucket.put("key", b"data")

    async with run_s3(folder) as second, open_bucket(config(first)) as bucket:
        assert await bucket.get("key") == b"data"
        assert second.endpoint == first.endpoint

    assert mode(folder / "credentials.json") == 0o600


async def test_requests_wait_while_a_killed_server_comes_back(folder: Path) -> None:
    async with run_s3(folder) as server, open_bucket(config(server)) as bucket:
        await bucket.put("key", b"data")
        assert server.pid

        os.kill(server.pid, signal.SIGKILL)

        assert await bucket.get("key") == b"data"


async def test_a_port_that_was_taken_meanwhile_is_replaced(folder: Path) -> None:
    async with run_s3(folder) as server:
        endpoint = server.endpoint
    parts = urlsplit(endpoint)

    with socket.create_server((parts.hostname, parts.port)):
        async with run_s3(folder) as server, open_bucket(config(server)) as bucket:
            await bucket.put("key", b"data")
            assert server.endpoint != endpoint


async def test_the_server_dies_with_its_starter(folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", STARTER, str(folder)), stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    server = psutil.Process(int(await process.stdout.readline()))

    process.kill()

    await process.wait()
    await asyncio.to_thread(server.wait, SECONDS)


async def test_a_folder_has_one_server(folder: Path) -> None:
    async with run_s3(folder):
        with pytest.raises(FolderInUse):
            async with run_s3(folder):
                pass


async def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "nanio", None)

    with pytest.raises(EmbeddedMissing, match=r"pip install 'runstream-server\[embedded\]'"):
        async with run_s3(folder):
            pass
