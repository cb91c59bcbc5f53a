"""P11 and more: the service, Postgres and the S3 server are killed while clients keep files; nothing that was kept is
missing afterwards, no orphan survives a collection, and every digest is right.
"""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runstream_server.config import BucketConfig, Config
from runstream_server.embedded.s3 import EmbeddedS3, run_s3
from runstream_server.rpc import open_channel
from tests.chaos.blob_checker import check_bucket, check_kept
from tests.chaos.blob_clients import BlobClient
from tests.chaos.conftest import Site
from tests.chaos.nemesis import Faults, Nemesis
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.make_runs import make_run
from tests.server_process import ServerProcess

CLIENTS = 3 + SCALE.factor
STRIDE = 3
"""Things that each client does between two faults."""

FAULTS = SCALE.faults // 2


def all_faults(site: Site, server: ServerProcess, s3: EmbeddedS3) -> Faults:
    """Kills of each kind, alone and together."""

    async def kill_server() -> None:
        await server.kill()
        await server.start()

    async def kill_postgres() -> None:
        await site.postgres.end(signal.SIGKILL)
        await site.postgres.start()

    async def kill_s3() -> None:
        if s3.pid is not None:
            os.kill(s3.pid, signal.SIGKILL)  # who keeps it running starts another one

    async def kill_all() -> None:
        await kill_s3()
        await asyncio.gather(server.kill(), site.postgres.end(signal.SIGKILL))
        await site.postgres.start()
        await server.start()

    kinds: list[Callable[[], Awaitable[None]]] = [kill_server, kill_postgres, kill_s3, kill_all]
    return {kind.__name__: kind for kind in kinds}


@pytest.fixture
async def own_s3(tmp_path: Path) -> AsyncIterator[EmbeddedS3]:
    """An S3 server that may be killed."""
    async with run_s3(tmp_path / "s3") as s3:
        yield s3


@asynccontextmanager
async def serving(site: Site, s3: EmbeddedS3) -> AsyncIterator[tuple[ServerProcess, BucketConfig]]:
    """A server on the Postgres of a site and a bucket of its own."""
    bucket = BucketConfig(
        endpoint=s3.endpoint, public_endpoint=s3.endpoint, access_key=s3.access_key, secret_key=s3.secret_key
    )
    config: Config = replace(site.server.config, bucket=bucket)
    server = ServerProcess(config)
    async with server.running():
        yield server, bucket


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_files_that_were_kept_survive_whatever_is_killed(
    site: Site, own_s3: EmbeddedS3, tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    pace = Pace(CLIENTS, STRIDE, FAULTS)
    async with asyncio.timeout(SCALE.seconds), serving(site, own_s3) as (server, bucket):
        async with open_channel(server.address) as channel:
            run = await make_run(channel)
        clients = [BlobClient(n, server.address, run, random.Random(f"{seed} {n}")) for n in range(CLIENTS)]
        nemesis = Nemesis(all_faults(site, server, own_s3), choice, tmp_path / "diary")
        async with asyncio.TaskGroup() as tasks:
            for number, client in enumerate(clients):
                tasks.create_task(_work(client, number, pace))
            tasks.create_task(nemesis.run(FAULTS, lambda fault: pace.fault_due(fault + 0.5)))
        async with open_channel(server.address) as channel:
            await check_kept(channel, run, clients)
        await check_bucket(site.postgres.dsn, bucket)
        async with open_channel(server.address) as channel:
            await check_kept(channel, run, clients)
        await asyncio.gather(*(client.close() for client in clients))


async def _work(client: BlobClient, number: int, pace: Pace) -> None:
    for sequence in range(1, pace.batches + 1):
        await pace.may_send(sequence)
        await client.work()
        pace.acknowledge(number, sequence)
