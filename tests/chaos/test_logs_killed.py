"""P1, P5 and P14 for logs: whatever is killed while they are written, sealed and followed, each byte is there once."""

import asyncio
import os
import random
import signal
from collections.abc import AsyncIterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import asyncpg
import grpc
import pytest

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream_server.config import BucketConfig, MaintenanceConfig
from runstream_server.embedded.s3 import EmbeddedS3
from runstream_server.objectstore import Bucket, open_bucket
from runstream_server.rpc import open_channel
from tests import stubs
from tests.chaos.conftest import Site
from tests.chaos.log_texts import TextReader, path_of, pieces_of, write_text
from tests.chaos.moments import Moment, hold_at
from tests.chaos.nemesis import Faults, Nemesis, both_faults, cut_faults, postgres_faults, server_faults
from tests.chaos.pace import Pace
from tests.chaos.scale import SCALE
from tests.fault_proxy import fault_proxy, random_fates
from tests.make_runs import make_run
from tests.postgres_proxy import Cut

WRITERS = 3 * SCALE.factor
READERS = 2
"""Of each log."""
STRIDE = 20
SEAL_BYTES = 12_000
CUTS_OF_BUCKET = 6 * SCALE.faults
MOST_BYTES_OF_BUCKET = 48 * 1024
MOST_MESSAGES = 6
FAULTS = max(SCALE.faults // 2, 4)

MOMENTS = {
    "a segment is noted and not written": Moment(Cut.AFTER_COMMIT, "INSERT INTO logs.segment"),
    "a segment is in the bucket": Moment(Cut.BEFORE_DATA, "SELECT true FROM logs.seal_task"),
    "the swap is not committed": Moment(Cut.BEFORE_COMMIT, "SET sealed_bytes = $5"),
    "the swap is committed": Moment(Cut.AFTER_COMMIT, "SET sealed_bytes = $5"),
    "nothing is deleted yet": Moment(Cut.BEFORE_DATA, "DELETE FROM logs.chunk"),
}


@pytest.fixture
def maintenance() -> MaintenanceConfig:
    """A server that seals at once."""
    return MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0, log_seal_bytes=SEAL_BYTES)


@pytest.fixture
async def bucket_config(bucket_config: BucketConfig, s3_server: EmbeddedS3) -> AsyncIterator[BucketConfig]:
    """The bucket behind a network that breaks connections at any byte."""
    fates = random_fates(random.Random(7), CUTS_OF_BUCKET, MOST_BYTES_OF_BUCKET)
    async with fault_proxy([s3_server.endpoint.removeprefix("http://")], fates) as proxy:
        yield replace(bucket_config, endpoint=f"http://{proxy.address}", public_endpoint=f"http://{proxy.address}")


@pytest.fixture
async def near_bucket(bucket_config: BucketConfig, s3_server: EmbeddedS3) -> AsyncIterator[Bucket]:
    """The same bucket without that network."""
    near = replace(bucket_config, endpoint=s3_server.endpoint, public_endpoint=s3_server.endpoint)
    async with open_bucket(near) as bucket:
        yield bucket


def bucket_faults(s3_server: EmbeddedS3, bucket: Bucket) -> Faults:
    """What can happen to the server of the bucket, which is started again by itself."""

    async def kill() -> None:
        assert s3_server.pid is not None
        os.kill(s3_server.pid, signal.SIGKILL)
        await bucket.head("nothing")

    return {"kill the bucket": kill}


def moment_faults(site: Site) -> Faults:
    """The server killed at each step of sealing."""

    async def kill_at(moment: Moment) -> None:
        await hold_at(site, moment)
        await site.proxy.has_cut()
        await site.server.kill()
        await site.server.start()
        await due_again(site)

    return {f"kill when {name}": partial(kill_at, moment) for name, moment in MOMENTS.items()}


async def due_again(site: Site) -> None:
    """Lets the leases of who was killed end."""
    connection = await asyncpg.connect(site.postgres.dsn)
    try:
        await connection.execute("UPDATE logs.seal_task SET due_time = now()")
        await connection.execute("UPDATE logs.round SET due_time = now() WHERE round = 'seal'")
    finally:
        await connection.close()


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_each_byte_of_a_log_is_stored_and_told_once_whatever_is_killed(
    site: Site, s3_server: EmbeddedS3, near_bucket: Bucket, tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    pace = Pace(WRITERS, STRIDE, FAULTS)
    faults = {
        **server_faults(site.server),
        **postgres_faults(site.postgres, choice),
        **both_faults(site.server, site.postgres),
        **cut_faults(site.proxy, '"logs"."chunk"'),
        **bucket_faults(s3_server, near_bucket),
        **moment_faults(site),
    }
    async with open_channel(site.server.address) as channel:
        run = await make_run(channel)
    readers = [TextReader(run, path_of(writer)) for writer in range(WRITERS) for _ in range(READERS)]

    async with asyncio.timeout(SCALE.seconds), asyncio.TaskGroup() as tasks:
        nemesis = Nemesis(faults, choice, tmp_path / "diary")
        tasks.create_task(nemesis.run(FAULTS, lambda number: pace.fault_due(number + choice.random())))
        for writer in range(WRITERS):
            tasks.create_task(write_text(site.server.address, run, seed, writer, pace))
        for reader in readers:
            tasks.create_task(reader.follow(site.server.address, choice, FAULTS, MOST_MESSAGES))

    texts = {path_of(writer): b"".join(pieces_of(seed, writer, pace.batches)) for writer in range(WRITERS)}
    for reader in readers:
        assert reader.text == texts[reader.path]
    async with open_channel(site.server.address) as channel:
        await check_stored(channel, run, texts)
        await stubs.run_history(channel).CompleteRun(history.CompleteRunRequest(name=run))
        await check_sealed(site, near_bucket)
        await check_stored(channel, run, texts)


async def check_stored(channel: grpc.aio.Channel, run: str, texts: dict[str, bytes]) -> None:
    """Reads all logs by bytes and by lines; calls again while the bucket does not answer."""
    for path, text in texts.items():
        assert await read(channel, messages.ReadLogRequest(run=run, path=path)) == text
        lines = text.count(b"\n") + 1
        for first in range(1, lines, max(lines // 4, 1)):
            request = messages.ReadLogRequest(run=run, path=path, lines=messages.LineRange(first=first))
            assert await read(channel, request) == b"\n".join(text.split(b"\n")[first - 1 :])


async def read(channel: grpc.aio.Channel, request: messages.ReadLogRequest) -> bytes:
    """What ReadLog answers in the end."""
    while True:
        try:
            return b"".join([part.data async for part in stubs.logs(channel).ReadLog(request)])
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.UNAVAILABLE:
                raise


async def check_sealed(site: Site, bucket: Bucket) -> None:
    """All text goes into segments; whatever else was put into the bucket goes when the leases on it have ended."""
    connection = await asyncpg.connect(site.postgres.dsn)
    try:
        await due_again(site)
        async with asyncio.timeout(SCALE.seconds):
            while await connection.fetchval(_UNSEALED):
                pass
            while await connection.fetchval("SELECT EXISTS (SELECT FROM logs.segment WHERE state <> 'current')"):
                await connection.execute("UPDATE logs.segment SET expire_time = now() WHERE state = 'written'")
        rows = await connection.fetch("SELECT segment FROM logs.segment")
    finally:
        await connection.close()
    numbers = {each.key.split("/")[-1] async for each in bucket.list("logs/")}
    assert numbers == {f"{row['segment']}.zst" for row in rows}


_UNSEALED = "SELECT EXISTS (SELECT FROM logs.chunk) OR EXISTS (SELECT FROM logs.seal_task)"
