"""P2: whoever reconnects to whichever replica, and whatever is sent again, everything is stored once."""

import asyncio
import random
from pathlib import Path

import pytest

from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.append_clients import doubles, metrics_stream
from tests.chaos.checker import Checker, read_run
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.chaos.writers import write
from tests.fault_proxy import fault_proxy, random_fates
from tests.make_runs import make_run
from tests.server_process import ServerProcess

Replicas = tuple[ServerProcess, ServerProcess]

WRITERS = 6 * SCALE.factor
POINTS = 400
CUTS = 5 * SCALE.faults
MAX_BYTES = 256 * 1024
"""Of a connection that is broken; each passes the first of it with certainty, since the batches have more bytes."""


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_connections_broken_at_any_byte_between_replicas_neither_lose_nor_double(
    replicas: Replicas, config: Config, tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    pace = Pace(WRITERS, stride=40 * CUTS // WRITERS + 40, faults=0)
    async with open_channel(replicas[0].address) as channel:
        run = await make_run(channel)
        fates = random_fates(choice, CUTS, MAX_BYTES)
        async with (
            fault_proxy([server.address for server in replicas], fates) as proxy,
            asyncio.timeout(SCALE.seconds),
            asyncio.TaskGroup() as tasks,
        ):
            for writer in range(WRITERS):
                tasks.create_task(write(proxy.address, run, seed, writer, POINTS, tmp_path, pace))
        assert proxy.faults == CUTS
        checker = Checker(run, seed, range(WRITERS), POINTS, tmp_path)
        await checker.check_all(channel)
        await checker.check_tables(config.postgres.dsn)


async def test_batches_sent_again_and_again_are_acknowledged_and_stored_once(replicas: Replicas) -> None:
    first, second = replicas
    async with open_channel(first.address) as channel, open_channel(second.address) as other:
        run = await make_run(channel)
        async with metrics_stream(channel, run) as stream:
            for sequence in (1, 1, 1, 2, 3, 1, 2, 3, 4, 4, 4):
                await stream.send(sequence, doubles("m", [sequence]))
            await stream.acknowledged(4)
        async with metrics_stream(other, run) as stream:
            assert await stream.opened() == 4
            for sequence in (*range(1, 7), 1):  # all from the start, and at last the oldest one
                await stream.send(sequence, doubles("m", [sequence]))
            await stream.acknowledged(6)
            assert await stream.half_close() is not None
        stored = await read_run(channel, run)
        assert stored["m"].doubles == [1, 2, 3, 4, 5, 6]
