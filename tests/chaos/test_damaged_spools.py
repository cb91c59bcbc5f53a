"""P9: of a damaged spool everything intact is delivered, and the run says what is not; a spool has one uplink."""

import asyncio
import os
import random
import re
import sys
from pathlib import Path

import pytest

from runstream._spool.launch import ensure_uplink
from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, group_folder, spools_in
from runstream._spool.reader import SpoolReader
from tests.chaos.checker import read_run
from tests.chaos.scale import SCALE
from tests.conftest import Backend
from tests.make_runs import make_run
from tests.spools import Spools, script, warnings
from tests.spools import spools_in as spools_kept_in

SPOOLS = 2 * SCALE.faults * SCALE.factor
VALUES = 400
BEGINNING = 1_200
"""Bytes of a spool that are spared: its header and the name of its metric."""
TAIL = 200

LOGGING = """
import sys
from runstream._spool import RunSpool
address, count, *runs = sys.argv[1:]
spools = [RunSpool.open(run, address) for run in runs]
for number in range(int(count)):
    for spool in spools:
        spool.log("m", float(number))
print("done")
sys.stdin.read()
"""
"""Logs to many runs, and waits to be killed."""


def tear(spool: Path, choice: random.Random) -> None:
    """Cuts the end off, as a lost power supply may."""
    os.truncate(spool, spool.stat().st_size - choice.randrange(1, TAIL))


def flip(spool: Path, choice: random.Random) -> None:
    """Turns one bit round."""
    data = bytearray(spool.read_bytes())
    data[choice.randrange(BEGINNING, len(data))] ^= 1 << choice.randrange(8)
    spool.write_bytes(data)


def _lock(group: Path) -> int:
    group.mkdir(parents=True)
    lock = lock_file(group / LOCK_NAME)
    assert lock is not None
    return lock


async def log_and_kill(group: Path, address: str, runs: list[str]) -> None:
    """Has a process log to runs and be killed, while no uplink can start."""
    lock = _lock(group)
    try:
        async with script(LOGGING, address, str(VALUES), *runs) as logging:
            await logging.read(1)
            await logging.kill()
    finally:
        os.close(lock)


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_everything_intact_of_a_damaged_spool_is_delivered_and_the_damage_is_told(
    backend: Backend, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    with spools_kept_in(tmp_path / "spools", monkeypatch) as spools:
        group = group_folder(backend.address)
        runs = [await make_run(backend.channel, f"run-{number}") for number in range(SPOOLS)]
        await log_and_kill(group, backend.address, runs)
        flipped = {_damage(spool, choice) for spool in spools_in(group)}
        ensure_uplink(group)
        await spools.carried()
    assert len(flipped - {""}) > SPOOLS // 4
    for run in runs:
        values = (await read_run(backend.channel, run))["m"].doubles
        told = [text for text in await warnings(backend.channel, run) if "damaged" in text]
        assert values == sorted(set(values)), run
        assert set(values) <= set(map(float, range(VALUES))), run
        if run in flipped:
            assert len(values) >= VALUES - 1
            assert len(told) == VALUES - len(values)
            assert all(re.search(r"\d+ bytes at offset \d+", text) for text in told)
        else:
            assert values == [float(number) for number in range(len(values))]
            assert len(values) >= VALUES - TAIL // 10


def _damage(spool: Path, choice: random.Random) -> str:
    """Damages a spool; returns its run if it was by a flipped bit."""
    reader = SpoolReader(spool)
    run = reader.header.run
    reader.close()
    kind = choice.choice([tear, flip])
    kind(spool, choice)
    return run if kind is flip else ""


async def test_a_second_uplink_of_a_spool_refuses(
    backend: Backend, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with spools_kept_in(tmp_path / "spools", monkeypatch) as spools:
        group = group_folder(backend.address)
        await log_and_kill(group, backend.address, [run])
        uplinks = [await _uplink(group) for _ in range(3)]
        codes = sorted([await uplink.wait() for uplink in uplinks])
        said = b"".join([(await uplink.communicate())[1] for uplink in uplinks])
        assert codes == [0, 1, 1]
        assert said.count(b"another uplink carries this folder") == 2
        assert not Spools(spools.root).left()
    assert (await read_run(backend.channel, run))["m"].doubles == [float(number) for number in range(VALUES)]


async def _uplink(group: Path) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runstream._uplink", "--spool-dir", str(group), "--foreground"),
        stderr=asyncio.subprocess.PIPE,
    )
