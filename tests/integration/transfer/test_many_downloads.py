"""Many files of a run are downloaded: small ones together, large ones one by one."""

import asyncio
import os
import random
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from runstream._channel import Connection
from runstream._channel.address import STATE_VARIABLE
from runstream._channel.connection import close_connections
from runstream._transfer import download_listed, upload
from runstream._transfer.progress import Meter, Silent
from runstream._transfer.settings import Settings
from runstream._transfer.together import MAX_BYTES
from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.exceptions import ServiceException
from runstream_server.config import Config
from runstream_server.objectstore import Bucket
from tests.bucket_proxy import bucket_proxy
from tests.conftest import Backend, serve
from tests.make_runs import make_run

MEGABYTE = 1 << 20


@pytest.fixture(autouse=True)
def _state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path_factory.mktemp("state")))


@pytest.fixture
async def connection(backend: Backend) -> AsyncIterator[Connection]:
    yield Connection.to(backend.address)
    await close_connections()


class Bar:
    """A meter that keeps what it was told."""

    def __init__(self) -> None:
        self.expected: list[int] = []
        self.moved = 0

    def expect(self, size: int) -> None:
        """Notes it."""
        self.expected.append(size)

    def advance(self, size: int) -> None:
        """Adds it, which is never more than is expected."""
        self.moved += size
        assert self.moved <= sum(self.expected)


async def down(
    connection: Connection, run: str, folder: Path, settings: Settings | None = None, meter: Meter | None = None
) -> None:
    """Downloads all files of a run."""
    request = messages.ListArtifactsRequest(parent=run, page_size=10_000)
    response = await connection.call(connection.artifacts.ListArtifacts, request)
    files = [(artifact, folder / artifact.path) for artifact in response.artifacts]
    await download_listed(connection, run, files, settings or Settings(), meter or Silent())


def contents_of(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def some_files() -> dict[str, bytes]:
    choice = random.Random(3)
    sizes = [0, 1, MAX_BYTES, MAX_BYTES + 1, MEGABYTE, 3 * MEGABYTE, *(choice.randrange(9_000) for _ in range(700))]
    return {f"outputs/{number % 7}/{number:03}": choice.randbytes(size) for number, size in enumerate(sizes)}


async def test_files_of_all_sizes_come_and_the_bar_is_full(connection: Connection, run: str, tmp_path: Path) -> None:
    contents, bar = some_files(), Bar()
    await upload(connection, run, list(contents.items()))

    await down(connection, run, tmp_path, meter=bar)

    assert contents_of(tmp_path) == contents
    assert bar.expected[0] == bar.moved == sum(map(len, contents.values()))
    assert sum(bar.expected) == bar.moved


async def test_small_files_do_not_ask_the_bucket(config: Config, tmp_path: Path) -> None:
    contents = some_files()
    large = sum(len(content) > MAX_BYTES for content in contents.values())
    with bucket_proxy(config.bucket.endpoint) as proxy:
        bucket = replace(config.bucket, public_endpoint=proxy.endpoint)
        async with serve(replace(config, bucket=bucket)) as backend:
            run = await make_run(backend.channel)
            connection = Connection.to(backend.address)
            await upload(connection, run, list(contents.items()))
            before = len(proxy.requests)
            await down(connection, run, tmp_path)
            await close_connections()

    assert contents_of(tmp_path) == contents
    assert len(proxy.requests) - before == large


async def test_files_come_where_the_bucket_cannot_be_reached(config: Config, tmp_path: Path) -> None:
    contents = some_files()
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        async with serve(replace(config, bucket=replace(config.bucket, public_endpoint=endpoint))) as backend:
            run = await make_run(backend.channel)
            connection = Connection.to(backend.address)
            await upload(connection, run, list(contents.items()), Settings(use_bucket=False))
            await down(connection, run, tmp_path)
            await close_connections()

    assert contents_of(tmp_path) == contents


async def test_of_many_files_the_damaged_one_is_named_and_all_others_are_there(
    connection: Connection, run: str, tmp_path: Path, bucket: Bucket
) -> None:
    contents = {f"outputs/{number:04}": os.urandom(100) for number in range(1_200)}
    contents["outputs/large"] = os.urandom(MEGABYTE)
    await upload(connection, run, list(contents.items()))
    damaged = contents.pop("outputs/0023")
    for key in [each.key async for each in bucket.list("packs/")]:
        await bucket.put(key, (await bucket.get(key)).replace(damaged, damaged[::-1]))

    with pytest.raises(ServiceException, match="outputs/0023") as caught:
        await down(connection, run, tmp_path)
    assert caught.value.reason == "DATA_LOSS"
    assert contents_of(tmp_path) == contents


async def test_a_download_that_is_given_up_leaves_whole_files_only(
    connection: Connection, run: str, tmp_path: Path
) -> None:
    contents = {f"{number:03}": os.urandom(20_000) for number in range(300)}
    await upload(connection, run, list(contents.items()))
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Begun(Bar):
        def advance(self, size: int) -> None:
            super().advance(size)
            loop.call_soon_threadsafe(begun.set)

    downloading = asyncio.create_task(down(connection, run, tmp_path, meter=Begun()))
    await begun.wait()
    downloading.cancel()
    with pytest.raises(asyncio.CancelledError):
        await downloading

    found = contents_of(tmp_path)
    assert len(found) > 0
    assert found.items() <= contents.items()
    await down(connection, run, tmp_path)
    assert contents_of(tmp_path) == contents
