"""P5: a tail has each series in the order it was stored, without gap or repetition, on whichever replica it goes on."""

import asyncio
import random
from pathlib import Path

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.rpc import open_channel
from tests import stubs
from tests.chaos.checker import Checker, read_run
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.chaos.tailers import Tailer
from tests.chaos.writers import write
from tests.fault_proxy import fault_proxy, random_fates
from tests.make_runs import make_run
from tests.server_process import ServerProcess

WRITERS = 3 * SCALE.factor
TAILERS = 5 * SCALE.factor
BREAKS = SCALE.faults
"""How often each tailer breaks off by itself at most, besides the connections that the proxy breaks."""
MOST_MESSAGES = 6
"""Before it does."""
POINTS = 20
MAX_BYTES = 64 * 1024


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_tails_have_everything_in_order_across_replicas(
    replicas: tuple[ServerProcess, ServerProcess], tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    pace = Pace(WRITERS, stride=40 * SCALE.faults, faults=0)
    addresses = [server.address for server in replicas]
    tailers = [Tailer("") for _ in range(TAILERS)]
    async with (
        open_channel(addresses[0]) as channel,
        fault_proxy(addresses, random_fates(choice, TAILERS * 2, MAX_BYTES)) as tail_proxy,
        fault_proxy(addresses, random_fates(choice, WRITERS * 4, MAX_BYTES)) as write_proxy,
        asyncio.timeout(SCALE.seconds),
    ):
        run = await make_run(channel)
        async with asyncio.TaskGroup() as tails:
            for tailer in tailers:
                tailer.run = run
                tails.create_task(tailer.follow(tail_proxy.address, choice, BREAKS, MOST_MESSAGES))
            async with asyncio.TaskGroup() as writers:
                for writer in range(WRITERS):
                    writers.create_task(write(write_proxy.address, run, seed, writer, POINTS, tmp_path, pace))
            await stubs.run_history(channel).CompleteRun(history.CompleteRunRequest(name=run))

        await Checker(run, seed, range(WRITERS), POINTS, tmp_path).check_all(channel)
        stored = {metric: each.steps for metric, each in (await read_run(channel, run)).items()}
    for tailer in tailers:
        assert tailer.steps == stored
        assert tailer.cuts >= 1
