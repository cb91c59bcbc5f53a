"""Processes that log so much that they write one spool after the other, and more spools than are carried at once."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, group_folder
from runstream._spool.room import LIMIT_VARIABLE
from runstream._uplink.process import Uplink
from runstream._uplink.turns import Shares
from tests.conftest import Backend
from tests.make_runs import make_run
from tests.spools import Spools, log_text, until, values, warnings

FLUSH_SECONDS = 30.0
LIMIT = "1MiB"
"""Then a spool has 256 KiB."""
PART = 11_000
"""So many values are more than that."""


@pytest.fixture
def small(spools: Spools, monkeypatch: pytest.MonkeyPatch) -> Spools:
    """Spools of which one process has several for a few values."""
    monkeypatch.setenv(LIMIT_VARIABLE, LIMIT)
    return spools


def fill(spool: RunSpool, part: int) -> None:
    """Logs more than a spool has room for, and lets the process look after it."""
    for number in range(PART * part, PART * (part + 1)):
        spool.log("loss", float(number))
    spool._tend_safely()


@contextmanager
def no_uplink(address: str) -> Iterator[None]:
    """Keeps uplinks from being started: the test has their lock."""
    group = group_folder(address)
    group.mkdir(parents=True)
    lock = lock_file(group / LOCK_NAME)
    assert lock is not None
    try:
        yield
    finally:
        os.close(lock)


async def test_what_goes_on_in_other_spools_arrives_in_order_and_is_removed(
    backend: Backend, run: str, small: Spools, tmp_path: Path
) -> None:
    followed = tmp_path / "followed.txt"
    spool = small.open(run, backend.address)
    spool.follow_file("logs/followed.txt", followed)
    for part in range(5):
        with followed.open("a") as file:
            file.write(f"part {part}\n")
        fill(spool, part)
        if part % 2 == 0:
            await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
            await until(lambda: len(small.left()) == 1)  # that which is still written
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await values(backend.channel, run, "loss") == [float(number) for number in range(5 * PART)]
    assert await log_text(backend.channel, run, "logs/followed.txt") == b"".join(b"part %d\n" % n for n in range(5))
    spool.finish()
    await small.carried()


async def test_spools_left_by_a_killed_process_are_carried_one_after_the_other(
    backend: Backend, run: str, small: Spools
) -> None:
    with no_uplink(backend.address):
        spool = small.open(run, backend.address)
        for part in range(3):
            fill(spool, part)
        assert spool._writer is not None
        spool._writer.abandon()
        spool._writer = None
        assert len(small.left()) == 4

        await Uplink(group_folder(backend.address)).run()

    assert await values(backend.channel, run, "loss") == [float(number) for number in range(3 * PART)]
    assert not small.left()


async def test_a_loss_at_the_limit_is_a_warning_of_the_run(
    backend: Backend, run: str, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1KiB")
    spool = spools.open(run, backend.address)
    spool.log("loss", 1.0)
    spool._tend_safely()
    for _ in range(7):
        spool.log("loss", 2.0)
    spool.log("accuracy", 2.0)
    spool.finish()
    await spools.carried()

    found = await warnings(backend.channel, run)
    assert any("8 values of 2 metrics were not recorded" in text and LIMIT_VARIABLE in text for text in found)


async def test_more_writers_than_are_carried_at_once_take_turns(backend: Backend, spools: Spools) -> None:
    with no_uplink(backend.address):
        await _take_turns(backend, spools)


async def _take_turns(backend: Backend, spools: Spools) -> None:
    runs = [await make_run(backend.channel, f"turn-{number}") for number in range(5)]
    queues = [spools.open(run, backend.address) for run in runs]
    for queue in queues:
        queue.log("loss", 0.0)
    uplink = Uplink(group_folder(backend.address), shares=Shares(live_at_once=2, rest_seconds=0.05))
    most = 0

    def carried() -> bool:
        nonlocal most
        most = max(most, len(uplink._carriers))
        return False

    carrying = asyncio.create_task(uplink.run())
    watching = asyncio.create_task(until(carried))
    for number in range(1, 4):
        for queue in queues:
            queue.log("loss", float(number))
        await asyncio.gather(*(asyncio.to_thread(queue.flush, FLUSH_SECONDS) for queue in queues))
    watching.cancel()
    carrying.cancel()
    await asyncio.wait({carrying, watching})

    for run in runs:
        assert await values(backend.channel, run, "loss") == [0.0, 1.0, 2.0, 3.0]
    assert most == 2
