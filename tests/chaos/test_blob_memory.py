"""P6: a server that moves large files and small ones, for those who do not listen as well, stays below 256 MiB."""

import asyncio
import random
from contextlib import AsyncExitStack
from typing import Any

import grpc
import psutil

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.append_clients import failure_of_stream
from tests.artifact_calls import PART_BYTES, Calls, file_entry, sha256
from tests.chaos.scale import SCALE
from tests.make_runs import make_run
from tests.server_process import ServerProcess

MIB = 1024 * 1024
MOST_BYTES = 256 * MIB
SENDERS = 10
SENT_BYTES = 2 * PART_BYTES * SCALE.factor
READERS = 7
SILENT = 12
SMALL_FILES = 300
SMALL_BYTES = 64 * 1024
PIECE = 512 * 1024


def memory_of(server: ServerProcess) -> int:
    """What a server has in memory, in bytes."""
    return int(psutil.Process(server.pid).memory_info().rss)


async def _send(calls: Calls, number: int) -> bytes:
    data = random.Random(number).randbytes(SENT_BYTES)
    begun = await calls.begin(data, multipart=True)
    await calls.relay(begun.upload_id, [data[at : at + PIECE] for at in range(0, len(data), PIECE)])
    await calls.complete(begun.upload_id)
    return data


async def _highest(server: ServerProcess, work: "asyncio.Future[Any]") -> int:
    """The most memory that was seen until the work was done."""
    most = 0
    while not work.done():
        most = max(most, memory_of(server))
        await asyncio.wait([work], timeout=0.02)
    return most


async def test_a_server_that_moves_large_files_stays_small(config: Config) -> None:
    server = ServerProcess(config)
    async with server.running(), open_channel(server.address) as channel, AsyncExitStack() as stack:
        run, calls = await make_run(channel), Calls(channel)
        work = asyncio.gather(*(_send(calls, number) for number in range(SENDERS)))
        assert await _highest(server, work) < MOST_BYTES
        blobs = await work
        await calls.bind(run, {str(n): sha256(data) for n, data in enumerate(blobs)})
        made = await calls.snapshot([file_entry(str(n), data) for n, data in enumerate(blobs)])
        for number in range(READERS):
            silent = Calls(await stack.enter_async_context(open_channel(server.address)))
            path = str(number % SENDERS)
            reading = silent.stub.ReadArtifact(messages.ReadArtifactRequest(run=run, path=path))
            packing = silent.stub.ReadSnapshot(messages.ReadSnapshotRequest(name=made.snapshot.name))
            assert await reading.read() is not grpc.aio.EOF
            assert await packing.read() is not grpc.aio.EOF
        assert len(await calls.archive(made.snapshot.name)) > SENDERS * SENT_BYTES
        assert memory_of(server) < MOST_BYTES
        one, other, third = (calls.stub.ReadArtifact(messages.ReadArtifactRequest(run=run, path="0")) for _ in range(3))
        assert await one.read() is not grpc.aio.EOF
        assert await other.read() is not grpc.aio.EOF
        failure = await failure_of_stream(third)
        assert (failure.code, failure.reason) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")


async def test_a_server_that_sends_small_files_stays_small(config: Config) -> None:
    server = ServerProcess(config)
    async with server.running(), open_channel(server.address) as channel, AsyncExitStack() as stack:
        run, calls = await make_run(channel), Calls(channel)
        blobs = [random.Random(number).randbytes(SMALL_BYTES) for number in range(SMALL_FILES)]
        digests = [digest for at in range(0, SMALL_FILES, 50) for digest in await calls.store(*blobs[at : at + 50])]
        await calls.bind(run, {str(number): digest for number, digest in enumerate(digests)})
        request = messages.BatchReadArtifactsRequest(run=run, paths=[str(number) for number in range(SMALL_FILES)])
        for _ in range(SILENT):
            silent = Calls(await stack.enter_async_context(open_channel(server.address)))
            assert await silent.stub.BatchReadArtifacts(request).read() is not grpc.aio.EOF
        work = asyncio.gather(*(_take(calls, request) for _ in range(16 - SILENT)))
        assert await _highest(server, work) < MOST_BYTES
        assert all(taken == SMALL_FILES * SMALL_BYTES for taken in await work)


async def _take(calls: Calls, request: messages.BatchReadArtifactsRequest) -> int:
    """How many bytes came."""
    return sum([len(each.data) async for some in calls.stub.BatchReadArtifacts(request) for each in some.artifacts])
