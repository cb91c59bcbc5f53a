"""Promise P11: what broke goes on where it stopped, also in another process; P14 as far as it is about files."""

import asyncio
import logging
import os
import random
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runstream._channel import Connection
from runstream._channel.address import STATE_VARIABLE
from runstream._channel.connection import close_connections
from runstream._transfer import download, upload
from runstream._transfer.settings import Settings
from runstream.exceptions import ServiceException, UserErrorException
from runstream_server.config import Config
from tests.bucket_proxy import BucketProxy, Trouble, bucket_proxy
from tests.conftest import serve
from tests.fault_proxy import fault_proxy, random_fates
from tests.make_runs import make_run

MEGABYTE = 1 << 20
PART = 8 * MEGABYTE
CONTENT = random.Random(1).randbytes(2 * PART + 1)
SMALLER = CONTENT[: 3 * MEGABYTE]
IN_RANGES = Settings(range_bytes=MEGABYTE)
EAGER = Settings(eager_bytes=MEGABYTE)
CUTS = 8
BREAKING = [trouble for trouble in Trouble if trouble not in (Trouble.STUCK, Trouble.SLOW, Trouble.SKEWED)]
UPLOADING = """
import asyncio, sys
from pathlib import Path
from runstream._channel import Connection
from runstream._transfer import upload
from runstream._transfer.settings import Settings

class Lines:
    def expect(self, size): pass
    def advance(self, size): print(size, flush=True)

async def main(address, run, file):
    await upload(Connection.to(address), run, [("large", Path(file))], Settings(at_once=1), Lines())

asyncio.run(main(*sys.argv[1:]))
"""


class Counted:
    """A meter that keeps what it is told."""

    def __init__(self) -> None:
        self.advances: list[int] = []

    def expect(self, size: int) -> None:
        """Does nothing."""

    def advance(self, size: int) -> None:
        """Notes it."""
        self.advances.append(size)


class Place:
    """Services, a run, and the way there."""

    def __init__(self, connection: Connection, run: str) -> None:
        self.connection = connection
        self.run = run

    async def up(self, content: bytes | Path = CONTENT, **options: Any) -> None:
        """Uploads a file."""
        await upload(self.connection, self.run, [("large", content)], **options)

    async def down(self, target: Path, **options: Any) -> bytes:
        """What it is when it was downloaded."""
        await download(self.connection, self.run, "large", target, **options)
        return await asyncio.to_thread(target.read_bytes)


@pytest.fixture(autouse=True)
def state(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the client remembers uploads."""
    folder = tmp_path_factory.mktemp("state")
    monkeypatch.setenv(STATE_VARIABLE, str(folder))
    return folder


@asynccontextmanager
async def placed(config: Config, public_endpoint: str) -> AsyncIterator[Place]:
    """Services that send clients to the bucket by another way."""
    async with serve(replace(config, bucket=replace(config.bucket, public_endpoint=public_endpoint))) as backend:
        run = await make_run(backend.channel)
        try:
            yield Place(Connection.to(backend.address), run)
        finally:
            await close_connections()


@pytest.fixture
async def proxied(config: Config) -> AsyncIterator[tuple[Place, BucketProxy]]:
    """Services whose bucket is behind a proxy."""
    with bucket_proxy(config.bucket.endpoint) as proxy:
        async with placed(config, proxy.endpoint) as place:
            yield place, proxy


async def test_connections_that_are_cut_cost_no_more_than_a_part_each(config: Config, tmp_path: Path) -> None:
    choice = random.Random(11)
    fates = random_fates(choice, CUTS, PART)
    async with (
        fault_proxy([config.bucket.endpoint.removeprefix("http://")], fates) as proxy,
        placed(config, f"http://{proxy.address}") as place,
    ):
        await place.up()
        sent = proxy.passed_bytes
        assert await place.down(tmp_path / "large", settings=IN_RANGES) == CONTENT
    assert proxy.faults == CUTS
    assert sent <= len(CONTENT) + CUTS * PART + MEGABYTE


async def test_an_upload_survives_a_bucket_in_trouble(proxied: tuple[Place, BucketProxy], tmp_path: Path) -> None:
    place, proxy = proxied
    proxy.troubles.extend(BREAKING)
    await place.up()
    assert not proxy.troubles
    assert await place.down(tmp_path / "large") == CONTENT


@pytest.mark.parametrize("settings", [Settings(), IN_RANGES], ids=["whole", "in ranges"])
async def test_a_download_survives_a_bucket_in_trouble(
    proxied: tuple[Place, BucketProxy], tmp_path: Path, settings: Settings
) -> None:
    place, proxy = proxied
    await place.up(SMALLER)
    proxy.troubles.extend(BREAKING)
    assert await place.down(tmp_path / "large", settings=settings) == SMALLER
    assert not proxy.troubles


async def test_a_bucket_that_stays_in_trouble_is_told_without_its_url(proxied: tuple[Place, BucketProxy]) -> None:
    place, proxy = proxied
    proxy.troubles.extend([Trouble.SLOW_DOWN] * 100)
    with pytest.raises(ServiceException, match="the bucket answers 503 SlowDown") as caught:
        await place.up(settings=Settings(attempts=2))
    assert caught.value.status_code == 503
    assert "X-Amz" not in str(caught.value)


async def test_an_upload_that_was_given_up_goes_on_with_what_is_missing(proxied: tuple[Place, BucketProxy]) -> None:
    place, proxy = proxied
    proxy.troubles.extend([None, Trouble.SLOW_DOWN])
    with pytest.raises(ServiceException):
        await place.up(settings=Settings(attempts=1, at_once=1))
    before, meter = proxy.sent_bytes, Counted()
    await place.up(meter=meter)
    assert meter.advances[0] == PART
    assert proxy.sent_bytes - before == len(CONTENT) - PART


async def test_a_huge_file_is_sent_while_it_is_hashed(proxied: tuple[Place, BucketProxy], tmp_path: Path) -> None:
    place, proxy = proxied
    (tmp_path / "huge").write_bytes(CONTENT)
    proxy.troubles.extend([None, Trouble.SLOW_DOWN])
    with pytest.raises(ServiceException):
        await place.up(tmp_path / "huge", settings=replace(EAGER, attempts=1, at_once=1))
    before, meter = proxy.sent_bytes, Counted()
    await place.up(tmp_path / "huge", settings=EAGER, meter=meter)
    assert meter.advances[0] == PART
    assert proxy.sent_bytes - before == len(CONTENT) - PART
    assert await place.down(tmp_path / "again") == CONTENT


async def test_sending_stops_when_a_huge_file_turns_out_to_be_known(
    proxied: tuple[Place, BucketProxy], tmp_path: Path
) -> None:
    place, proxy = proxied
    (tmp_path / "huge").write_bytes(CONTENT)
    await place.up()
    proxy.troubles.extend([Trouble.STUCK] * 3)
    meter = Counted()
    await place.up(tmp_path / "huge", settings=EAGER, meter=meter)
    assert sum(meter.advances) == len(CONTENT)


async def test_a_huge_file_that_cannot_be_read_is_told(proxied: tuple[Place, BucketProxy], tmp_path: Path) -> None:
    place, _ = proxied
    with pytest.raises(UserErrorException, match="cannot be read"):
        await place.up(tmp_path / "missing", settings=EAGER)


async def test_a_client_that_is_killed_leaves_its_upload_to_the_next(
    proxied: tuple[Place, BucketProxy], tmp_path: Path
) -> None:
    place, proxy = proxied
    (tmp_path / "large").write_bytes(CONTENT)
    arguments = (place.connection.address, place.run, str(tmp_path / "large"))
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", UPLOADING, *arguments), stdout=asyncio.subprocess.PIPE
    )
    assert killed.stdout is not None
    arrived = [int(await killed.stdout.readline()) for _ in range(2)]
    killed.send_signal(signal.SIGKILL)
    await killed.wait()
    before, meter = proxy.sent_bytes, Counted()

    await place.up(tmp_path / "large", meter=meter)

    assert arrived == [0, PART]
    assert meter.advances[0] >= PART
    assert proxy.sent_bytes - before <= len(CONTENT) - PART
    assert await place.down(tmp_path / "again") == CONTENT


async def test_a_download_that_broke_goes_on_with_what_is_missing(
    proxied: tuple[Place, BucketProxy], tmp_path: Path
) -> None:
    place, proxy = proxied
    await place.up(SMALLER)
    settings = replace(IN_RANGES, at_once=1, attempts=1)
    proxy.requests.clear()
    proxy.troubles.extend([None, Trouble.LOST])
    with pytest.raises(ServiceException):
        await place.down(tmp_path / "large", settings=settings)
    assert not (tmp_path / "large").exists()
    assert await place.down(tmp_path / "large", settings=settings) == SMALLER
    assert len(proxy.requests) == 2 + 2
    assert os.listdir(tmp_path) == ["large"]  # noqa: PTH208


async def test_a_file_that_is_changed_while_it_is_uploaded_is_told(
    proxied: tuple[Place, BucketProxy], tmp_path: Path
) -> None:
    place, _ = proxied
    file = tmp_path / "large"
    file.write_bytes(CONTENT)

    class Changing(Counted):
        def expect(self, size: int) -> None:
            with file.open("r+b") as opened:
                opened.write(b"other")

    with pytest.raises(UserErrorException, match="was changed while it was uploaded") as caught:
        await place.up(file, meter=Changing())
    assert caught.value.reason == "FILE_CHANGED"


async def test_bytes_go_through_the_services_where_the_bucket_cannot_be_reached(
    config: Config, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with placed(config, f"http://127.0.0.1:{_closed_port()}") as place:
        content = CONTENT[: PART + MEGABYTE]
        await place.up(content)
        assert await place.down(tmp_path / "ranges", settings=IN_RANGES) == content
        assert await place.down(tmp_path / "whole") == content
    told = [record for record in caplog.records if "cannot be reached from here" in record.getMessage()]
    assert [record.levelno for record in told] == [logging.WARNING]


def _closed_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
