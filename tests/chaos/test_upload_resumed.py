"""P11: a large upload survives cuts, kills of the client and another server, and sends little of it again; what is
abandoned, wrong or sent several times leaves one object or none.
"""

import asyncio
import hashlib
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import grpc
import pytest

from runstream._channel import Connection
from runstream._channel.address import STATE_VARIABLE
from runstream._channel.connection import close_connections
from runstream._transfer import upload
from runstream._transfer.settings import DEFAULT
from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.config import Config
from runstream_server.postgres import Postgres
from runstream_server.rpc import open_channel
from tests.append_clients import failure_of
from tests.artifact_calls import PART_BYTES, Calls, put, sha256
from tests.chaos.blob_checker import check_bucket
from tests.chaos.scale import SCALE
from tests.conditions import SECONDS, until
from tests.conftest import Backend
from tests.fault_proxy import Fate, Fault, FaultProxy, fault_proxy
from tests.make_runs import make_run
from tests.server_process import ServerProcess

MIB = 1 << 20
FULL = SCALE.factor > 1
SIZE = (1024 if FULL else 64) * MIB
CUTS = 40 if FULL else 10
"""Of which every fourth is a kill of the client, which cuts all its connections."""
KILLS = CUTS // 4
CLIENTS = 8
REFUSED = r"HTTP Error 4\d\d|reset|Broken pipe"
OVERHEAD = MIB
"""What else passes: heads and answers."""


@dataclass
class Site:
    """A server whose clients reach the bucket through a network that breaks."""

    server: ServerProcess
    proxy: FaultProxy
    cuts: list[int]


@asynccontextmanager
async def serving(config: Config, choice: random.Random) -> AsyncIterator[Site]:
    """Each connection is cut after some bytes, as long as there are cuts left."""
    cuts = [choice.randrange(PART_BYTES) for _ in range(CUTS - KILLS)]
    faults = list(Fault)

    def fate() -> Fate | None:
        return Fate(choice.choice(faults), cuts.pop()) if cuts else None

    async with fault_proxy([config.bucket.endpoint.removeprefix("http://")], fate) as proxy:
        bucket = replace(config.bucket, public_endpoint=f"http://{proxy.address}")
        server = ServerProcess(replace(config, bucket=bucket))
        async with server.running():
            yield Site(server, proxy, cuts)


def written(path: Path, seed: int) -> str:
    """Writes the file; its digest."""
    choice, digest = random.Random(seed), hashlib.sha256()
    with path.open("wb") as file:
        for _ in range(SIZE // MIB):
            block = choice.randbytes(MIB)
            digest.update(block)
            file.write(block)
    return digest.hexdigest()


async def start(site: Site, run: str, file: Path, state: Path) -> asyncio.subprocess.Process:
    """Starts a client that uploads the file."""
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.chaos.upload_process", site.server.address, run, "large", str(file)),
        env={**os.environ, STATE_VARIABLE: str(state)},
    )


def has_passed(site: Site, client: asyncio.subprocess.Process, place: int) -> bool:
    """Whether so many bytes passed, or the client ended before."""
    return site.proxy.passed_bytes >= place or client.returncode is not None


async def upload_insistently(site: Site, run: str, file: Path, state: Path, choice: random.Random) -> int:
    """Uploads with clients one after the other; kills so many of them, and replaces the server once. The kills."""
    places = sorted(choice.randrange(SIZE) for _ in range(KILLS + 1))
    replaced, kills = choice.randrange(len(places)), 0
    client = await start(site, run, file, state)
    for number, place in enumerate(places):
        await until(partial(has_passed, site, client, place))
        if number == replaced:
            await site.server.kill()
            await site.server.start()
        elif client.returncode is None:
            client.kill()
            kills += 1
        if number != replaced or client.returncode is not None:
            await client.wait()
            client = await start(site, run, file, state)
    while await asyncio.wait_for(client.wait(), SCALE.seconds):
        client = await start(site, run, file, state)
    return kills


async def digest_of(channel: grpc.aio.Channel, run: str, path: str) -> str:
    """The SHA-256 of what is read through the services."""
    digest = hashlib.sha256()
    async for part in Calls(channel).stub.ReadArtifact(messages.ReadArtifactRequest(run=run, path=path)):
        digest.update(part.data)
    return digest.hexdigest()


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_an_upload_that_is_cut_and_killed_sends_a_part_again_for_each_cut_at_most(
    config: Config, tmp_path: Path, seed: int
) -> None:
    choice = random.Random(seed)
    digest = await asyncio.to_thread(written, tmp_path / "large", seed)
    async with asyncio.timeout(SCALE.seconds + SECONDS), serving(config, choice) as site:
        async with open_channel(site.server.address) as channel:
            run = await make_run(channel)
        kills = await upload_insistently(site, run, tmp_path / "large", tmp_path / "state", choice)
        sent = site.proxy.passed_bytes

        async with open_channel(site.server.address) as channel:
            assert await digest_of(channel, run, "large") == digest
        await check_bucket(config.postgres.dsn, config.bucket)
    cuts = site.proxy.faults + kills * DEFAULT.at_once
    assert SIZE <= sent <= SIZE + cuts * PART_BYTES + OVERHEAD


async def test_eight_clients_with_the_same_file_leave_one_object(
    backend: Backend, postgres: Postgres, run: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(STATE_VARIABLE, str(tmp_path))
    data = random.Random(8).randbytes(PART_BYTES + MIB)
    connection = Connection.to(backend.address)
    await asyncio.gather(*(upload(connection, run, [(f"copy-{n}", data)]) for n in range(CLIENTS)))
    await close_connections()

    assert await postgres.fetchval("SELECT count(DISTINCT object) FROM artifacts.content") == 1
    await check_bucket(backend.config.postgres.dsn, backend.config.bucket)
    assert [await digest_of(backend.channel, run, f"copy-{n}") for n in range(CLIENTS)] == [sha256(data)] * CLIENTS


async def test_other_bytes_sizes_and_replays_leave_no_blob_that_is_wrong_and_no_parts(
    backend: Backend, run: str
) -> None:
    calls, choice = Calls(backend.channel), random.Random(9)
    data, other = choice.randbytes(PART_BYTES + 99), choice.randbytes(PART_BYTES + 99)
    wrong = await calls.begin(data, multipart=True)
    await calls.put_parts(wrong.upload_id, other, [1, 2])
    complete = messages.CompleteUploadRequest(parent=calls.workspace, upload_id=wrong.upload_id)
    failure = await failure_of(calls.stub.CompleteUpload(complete))
    assert (failure.code, failure.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "DIGEST_MISMATCH")

    short = await calls.begin(data, multipart=True, size=len(data) + 1)
    with pytest.raises(OSError, match=REFUSED):
        await calls.put_parts(short.upload_id, data, [1, 2])
    complete = messages.CompleteUploadRequest(parent=calls.workspace, upload_id=short.upload_id)
    failure = await failure_of(calls.stub.CompleteUpload(complete))
    assert (failure.code, failure.reason) == (grpc.StatusCode.FAILED_PRECONDITION, "UPLOAD_INCOMPLETE")
    assert await calls.missing([sha256(data), sha256(other)]) == [sha256(data), sha256(other)]

    replayed = await calls.begin(data, multipart=True)
    (first, second) = await calls.urls(replayed.upload_id, [1, 2])
    for bytes_ in (other, data, other, data):
        await put(first.url, first.headers, bytes_[:PART_BYTES])
    await put(second.url, second.headers, data[PART_BYTES:])
    await calls.complete(replayed.upload_id)
    with pytest.raises(OSError, match=REFUSED):
        await put(first.url, first.headers, other[:PART_BYTES])
    await calls.bind(run, {"replayed": sha256(data)})
    assert await digest_of(backend.channel, run, "replayed") == sha256(data)

    for number in (2, 3):
        abandoned = await calls.begin(choice.randbytes(2 * PART_BYTES), multipart=True)
        await calls.put_parts(abandoned.upload_id, choice.randbytes(2 * PART_BYTES), range(1, number))
    await check_bucket(backend.config.postgres.dsn, backend.config.bucket)
    assert await digest_of(backend.channel, run, "replayed") == sha256(data)
