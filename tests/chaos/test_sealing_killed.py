"""Merging and sealing that are killed at each of their steps lose and double nothing, late values included."""

import asyncio
import random
import signal
from pathlib import Path

import asyncpg
import pytest

from runstream._channel.connection import Connection, close_connections
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import BucketConfig, MaintenanceConfig
from runstream_server.objectstore import open_bucket
from runstream_server.rpc import open_channel
from tests.chaos.checker import Checker
from tests.chaos.conftest import Site
from tests.chaos.moments import Moment, hold_at
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.chaos.writers import write
from tests.make_runs import make_run
from tests.postgres_proxy import Cut

WRITERS = 2
BATCHES = 70
"""Each in a commit of its own: chunks are merged when there are 64 of a series."""
FEW_BATCHES = 6
MOST_MOMENTS = max(SCALE.faults // 2, 3)
"""Of those below, drawn by the seed."""
POINTS = 5


MOMENTS = {
    "where values are in the object is not noted yet": Moment(Cut.BEFORE_DATA, 'COPY "metrics"."sealed_chunk"'),
    "the object is in the bucket": Moment(Cut.BEFORE_DATA, "SELECT true FROM metrics.seal_task"),
    "the swap is not committed": Moment(Cut.BEFORE_COMMIT, "footer_crc = $6"),
    "the swap is committed": Moment(Cut.AFTER_COMMIT, "footer_crc = $6"),
    "nothing is deleted yet": Moment(Cut.BEFORE_DATA, "WITH sealed AS ("),
    "what is sealed is deleted": Moment(Cut.AFTER_COMMIT, "WITH sealed AS ("),
    "the writers are hot": Moment(Cut.BEFORE_DATA, "WITH cooled AS ("),
    "a merge is not committed": Moment(Cut.BEFORE_COMMIT, "SET LOCAL synchronous_commit = off", while_writing=True),
    "a merge is committed": Moment(Cut.AFTER_COMMIT, "SET LOCAL synchronous_commit = off", while_writing=True),
}


@pytest.fixture
def maintenance() -> MaintenanceConfig:
    """A server that seals at once."""
    return MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0)


async def kill_server(site: Site) -> None:
    await site.server.kill()
    await site.server.start()


async def kill_postgres(site: Site) -> None:
    await site.postgres.end(signal.SIGKILL)
    await site.postgres.start()


async def kill_both(site: Site) -> None:
    await site.server.kill()
    await kill_postgres(site)
    await site.server.start()


VICTIMS = (kill_server, kill_postgres, kill_both)


async def write_all(site: Site, checker: Checker, writers: range, batches: int) -> None:
    """Writes what some writers of a run have to say, one batch after the other."""
    pace = Pace(len(writers), stride=1, faults=batches - 1)
    async with asyncio.TaskGroup() as tasks:
        for writer in writers:
            tasks.create_task(
                write(site.server.address, checker.run, checker.seed, writer, POINTS, checker.folder, pace)
            )
        for number in range(batches - 1):
            await pace.fault_due(number + 1)


async def sealed(site: Site, run: str) -> None:
    """Waits until all values of a run are in its object and nowhere else; no lease of who was killed is waited for."""
    connection = await asyncpg.connect(site.postgres.dsn)
    try:
        await connection.execute("UPDATE metrics.seal_task SET due_time = now()")
        await connection.execute("UPDATE metrics.seal_scan SET due_time = now()")
        async with asyncio.timeout(SCALE.seconds):
            while await connection.fetchval(_UNSEALED, run.split("/")[-1]):
                pass
        assert await connection.fetchval(_SEALED, run.split("/")[-1]) == 1
    finally:
        await connection.close()


_UNSEALED = """
SELECT EXISTS (SELECT FROM metrics.chunk WHERE run = $1) OR EXISTS (SELECT FROM metrics.writer WHERE run = $1 AND hot)
    OR EXISTS (SELECT FROM metrics.seal_task WHERE run = $1)
"""
_SEALED = "SELECT count(*) FROM metrics.sealed_object WHERE run = $1 AND state = 'current'"


async def complete(site: Site, run: str) -> None:
    connection = Connection.to(site.server.address)
    await connection.call(connection.runs.CompleteRun, history.CompleteRunRequest(name=run))


async def live_through(site: Site, checker: Checker, moment: Moment, choice: random.Random) -> None:
    """Writes and ends a run whose sealing, or merging, is killed at a moment; late values come meanwhile."""
    kill = choice.choice(VICTIMS)
    if moment.while_writing:
        await hold_at(site, moment)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write_all(site, checker, range(WRITERS), BATCHES))
            await site.proxy.has_cut()
            await kill(site)
        await complete(site, checker.run)
    else:
        await write_all(site, checker, range(WRITERS), FEW_BATCHES)
        await hold_at(site, moment)
        await complete(site, checker.run)
        await site.proxy.has_cut()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(write_all(site, checker, range(WRITERS, WRITERS + 1), FEW_BATCHES))
            await kill(site)


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_killed_at_any_step_merging_and_sealing_lose_and_double_nothing(
    site: Site, bucket_config: BucketConfig, tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    names = choice.sample(sorted(MOMENTS), min(MOST_MOMENTS, len(MOMENTS))) * SCALE.factor
    async with asyncio.timeout(SCALE.seconds):
        for number, name in enumerate(names):
            async with open_channel(site.server.address) as channel:
                run = await make_run(channel, f"run-{number}")
            late = not MOMENTS[name].while_writing
            folder = tmp_path / str(number)
            folder.mkdir()
            checker = Checker(run, seed, range(WRITERS + late), POINTS, folder)

            await live_through(site, checker, MOMENTS[name], choice)

            await sealed(site, run)
            async with open_channel(site.server.address) as channel:
                await checker.check_all(channel)
    await close_connections()
    async with open_bucket(bucket_config) as bucket:
        keys = [each.key async for each in bucket.list("metrics/")]
    assert {key.split("/")[2] for key in keys} == {f"run-{number}" for number in range(len(names))}
