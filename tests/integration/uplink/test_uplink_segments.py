"""Processes that log so much that they write one spool after the other, and more spools than are carried at once."""

import asyncio
from pathlib import Path

import pytest

from runstream._spool import RunSpool
from runstream._spool.places import group_folder
from runstream._spool.room import LIMIT_VARIABLE
from runstream._uplink.process import Uplink
from runstream._uplink.turns import Turns
from tests.conftest import Backend
from tests.make_runs import make_run
from tests.spools import Spools, log_text, until, values, warnings

FLUSH_SECONDS = 30.0


def fill(spool: RunSpool, begin: int) -> None:
    """Logs as much as a spool of 100 KiB has room for, and lets the process look after it."""
    for number in range(begin, begin + 4_000):
        spool.log("loss", float(number))
    spool._tend_safely()


async def test_what_goes_on_in_other_spools_arrives_in_order_and_is_removed(
    backend: Backend, run: str, spools: Spools, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "4MiB")
    monkeypatch.setattr("runstream._spool.queue.segment_bytes", lambda: 100_000)
    followed = tmp_path / "followed.txt"
    spool = spools.open(run, backend.address)
    spool.follow_file("logs/followed.txt", followed)
    for part in range(5):
        with followed.open("a") as file:
            file.write(f"part {part}\n")
        fill(spool, 4_000 * part)
        if part == 2:
            await asyncio.to_thread(spool.flush, FLUSH_SECONDS)
    await asyncio.to_thread(spool.flush, FLUSH_SECONDS)

    assert await values(backend.channel, run, "loss") == [float(number) for number in range(20_000)]
    assert await log_text(backend.channel, run, "logs/followed.txt") == b"".join(b"part %d\n" % n for n in range(5))
    assert len(spools.left()) == 1  # that which is still written
    spool.finish()
    await spools.carried()


async def test_spools_left_by_a_killed_process_are_carried_one_after_the_other(
    backend: Backend, run: str, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runstream._spool.queue.segment_bytes", lambda: 100_000)
    monkeypatch.setattr("runstream._spool.queue.ensure_uplink", lambda group: None)
    spool = spools.open(run, backend.address)
    for part in range(4):
        fill(spool, 4_000 * part)
    assert spool._writer is not None
    spool._writer.abandon()
    spool._writer = None
    assert len(spools.left()) == 5

    await Uplink(group_folder(backend.address)).run()

    assert await values(backend.channel, run, "loss") == [float(number) for number in range(16_000)]
    assert not spools.left()


async def test_a_loss_at_the_limit_is_a_warning_of_the_run(
    backend: Backend, run: str, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(LIMIT_VARIABLE, "1KiB")
    monkeypatch.setattr("runstream._spool.queue.segment_bytes", lambda: 100_000)
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


async def test_more_writers_than_are_carried_at_once_take_turns(
    backend: Backend, spools: Spools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runstream._uplink.turns.REST_SECONDS", 0.05)
    monkeypatch.setattr("runstream._spool.queue.ensure_uplink", lambda group: None)
    runs = [await make_run(backend.channel, f"turn-{number}") for number in range(5)]
    queues = [spools.open(run, backend.address) for run in runs]
    for queue in queues:
        queue.log("loss", 0.0)
    uplink = Uplink(group_folder(backend.address))
    uplink._turns = Turns(group_folder(backend.address), live_at_once=2)
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
