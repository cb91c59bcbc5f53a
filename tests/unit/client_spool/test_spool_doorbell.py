"""The uplink is woken by changes, and by no others."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from runstream._uplink.doorbell import Doorbell

SECONDS = 30.0


def write(path: Path) -> None:
    path.write_text("more")


@pytest.fixture
async def doorbell() -> AsyncIterator[Doorbell]:
    doorbell = Doorbell()
    yield doorbell
    doorbell.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    path = tmp_path / "one.spool"
    path.touch()
    return path


async def test_a_write_after_arming_rings(doorbell: Doorbell, spool: Path) -> None:
    bell = doorbell.bell(spool)

    bell.arm()
    write(spool)

    async with asyncio.timeout(SECONDS):
        await bell.wait(2 * SECONDS)


async def test_a_bell_rings_again_only_when_it_was_armed_again(doorbell: Doorbell, spool: Path) -> None:
    bell = doorbell.bell(spool)
    for _ in range(3):
        bell.arm()
        write(spool)
        async with asyncio.timeout(SECONDS):
            await bell.wait(2 * SECONDS)

    bell.arm()
    await bell.wait(0.0)


async def test_a_writer_that_closes_the_file_rings(doorbell: Doorbell, spool: Path) -> None:
    bell = doorbell.bell(spool)

    with spool.open("ab"):
        bell.arm()

    async with asyncio.timeout(SECONDS):
        await bell.wait(2 * SECONDS)


async def test_a_spool_that_is_moved_into_the_folder_rings(doorbell: Doorbell, tmp_path: Path) -> None:
    new = tmp_path / "two.new"
    new.touch()
    bell = doorbell.bell(tmp_path)

    bell.arm()
    new.rename(tmp_path / "two.spool")

    async with asyncio.timeout(SECONDS):
        await bell.wait(2 * SECONDS)


async def test_the_bell_of_a_folder_is_silent_about_writes_to_its_files(
    doorbell: Doorbell, tmp_path: Path, spool: Path
) -> None:
    of_folder, of_file = doorbell.bell(tmp_path), doorbell.bell(spool)
    of_folder.arm()
    waiting = asyncio.create_task(of_folder.wait(SECONDS))

    for _ in range(3):
        of_file.arm()
        write(spool)
        async with asyncio.timeout(SECONDS):
            await of_file.wait(2 * SECONDS)

    assert not waiting.done()
    of_folder.ring()
    await waiting


async def test_a_file_that_cannot_be_watched_is_looked_at_soon(doorbell: Doorbell, tmp_path: Path) -> None:
    bell = doorbell.bell(tmp_path / "not there yet")

    bell.arm()

    async with asyncio.timeout(SECONDS):
        await bell.wait(2 * SECONDS)
