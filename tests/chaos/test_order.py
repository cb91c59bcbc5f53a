"""P5: a tail has each series in the order it was stored, without gap or repetition, on whichever replica it goes on."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import doubles, metrics_stream
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


@asynccontextmanager
async def held_up(dsn: str, run: str) -> AsyncIterator[Callable[[], Awaitable[None]]]:
    """Holds up what makes a series in a run: its values have their places by then, and are not committed.

    Yields what waits until a transaction is held up.
    """
    connection, observer = await asyncpg.connect(dsn), await asyncpg.connect(dsn)

    async def is_held_up() -> None:
        while not await observer.fetchval(_HELD_UP, connection.get_server_pid()):
            pass

    try:
        async with connection.transaction():
            await connection.execute(_HOLD_UP, run.split("/")[-1])
            yield is_held_up
    finally:
        await connection.close()
        await observer.close()


_HOLD_UP = "SELECT FROM metrics.name_count WHERE run = $1 FOR UPDATE"
_HELD_UP = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE $1 = ANY(pg_blocking_pids(pid)))"


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_commits_that_finish_out_of_order_are_told_without_gap(
    replicas: tuple[ServerProcess, ServerProcess], config: Config, seed: int
) -> None:
    choice = random.Random(seed)
    tailers = [Tailer("") for _ in range(TAILERS)]
    async with (
        open_channel(replicas[0].address) as channel,
        open_channel(replicas[1].address) as other,
        asyncio.timeout(SCALE.seconds),
        asyncio.TaskGroup() as tails,
    ):
        run = await make_run(channel)
        async with metrics_stream(channel, run, "slow") as slow, metrics_stream(other, run, "fast") as fast:
            for each, metric in ((slow, "slow"), (fast, "fast")):
                await each.send(1, doubles(metric, [0.0], [0]))
                await each.acknowledged(1)
            for tailer in tailers:
                tailer.run = run
                tails.create_task(tailer.follow(choice.choice(replicas).address, choice, BREAKS, MOST_MESSAGES))
            for sequence in range(2, SCALE.faults + 2):
                async with held_up(config.postgres.dsn, run) as is_held_up:
                    step = [sequence - 1]
                    await slow.send(sequence, doubles("slow", [1.0], step), doubles(f"new {sequence}", [1.0], step))
                    await is_held_up()
                    await fast.send(sequence, doubles("fast", [1.0], step))
                    await fast.acknowledged(sequence)
                    for tailer in tailers:
                        await tailer.has("fast", sequence)
                        assert len(tailer.steps["slow"]) < sequence
                await slow.acknowledged(sequence)
        await stubs.run_history(channel).CompleteRun(history.CompleteRunRequest(name=run))
    steps = list(range(SCALE.faults + 1))
    expected = {"slow": steps, "fast": steps, **{f"new {step + 1}": [step] for step in steps[1:]}}
    assert [tailer.steps for tailer in tailers] == [expected] * TAILERS
