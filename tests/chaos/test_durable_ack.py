"""P1: what is acknowledged survives kill -9 of the server, of Postgres, and cuts at each moment of a transaction."""

import asyncio
import random
from pathlib import Path

import pytest

from runstream._channel.connection import close_connections
from runstream_server.rpc import open_channel
from tests.chaos.checker import Checker
from tests.chaos.conftest import Site
from tests.chaos.nemesis import Nemesis, both_faults, cut_faults, postgres_faults, server_faults
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.chaos.writers import write
from tests.make_runs import make_run

STRIDE = 12
POINTS = 100
LARGE_STRIDE = 20
LARGE_POINTS = 8_000


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_acknowledged_batches_are_stored_once_whatever_is_killed(site: Site, tmp_path: Path, seed: int) -> None:
    await _kill_at_random(site, tmp_path, seed, Pace(8 * SCALE.factor, STRIDE, SCALE.faults), POINTS)


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_so_are_large_batches_that_are_stored_ahead_of_their_turn(site: Site, tmp_path: Path, seed: int) -> None:
    await _kill_at_random(site, tmp_path, seed, Pace(6, LARGE_STRIDE, SCALE.faults // 2), LARGE_POINTS)


async def _kill_at_random(site: Site, tmp_path: Path, seed: int, pace: Pace, points: int) -> None:
    choice = random.Random(seed)
    async with open_channel(site.server.address) as channel:
        run = await make_run(channel)
    checker = Checker(run, seed, range(pace.writers), points, tmp_path)
    faults = {
        **server_faults(site.server),
        **postgres_faults(site.postgres, choice),
        **cut_faults(site.proxy),
        **both_faults(site.server, site.postgres),
    }
    nemesis = Nemesis(faults, choice, tmp_path / "diary")

    async def due(number: int) -> None:
        if number:
            await checker.check_kept(site.server.address)
        await pace.fault_due(number + choice.random())

    async with asyncio.timeout(SCALE.seconds), asyncio.TaskGroup() as tasks:
        tasks.create_task(nemesis.run(pace.faults, due))
        for writer in range(pace.writers):
            tasks.create_task(write(site.server.address, run, seed, writer, points, tmp_path, pace))
    async with open_channel(site.server.address) as channel:
        await checker.check_all(channel)
    await close_connections()
    await checker.check_tables(site.postgres.dsn)
