"""P3: a second opening of a writer stops the first, however the first was held up, and nothing of it comes after."""

import asyncio
import random
import signal
from contextlib import AsyncExitStack

import grpc
import pytest

from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests.append_clients import Failure, doubles, metrics_stream
from tests.chaos.checker import read_run
from tests.chaos.scale import SCALE
from tests.fault_proxy import fault_proxy
from tests.make_runs import make_run
from tests.server_process import ServerProcess
from tests.spools import Script, script

Replicas = tuple[ServerProcess, ServerProcess]

ROUNDS = SCALE.faults // 2
MORE = 5
"""Batches of the second stream."""
FENCED = Failure(grpc.StatusCode.ABORTED, "WRITER_FENCED", {})

FIRST = """
import asyncio, itertools, sys
import grpc
from runstream._channel.authorized import open_channel
from tests.append_clients import doubles, metrics_stream

AHEAD = 20

async def send(stream, room):
    for sequence in itertools.count(stream.durable + 1):
        await room.acquire()
        await stream.send(sequence, doubles("m", [sequence]))

async def write(channel, run, writer):
    async with metrics_stream(channel, run, writer) as stream:
        await stream.opened()
        room = asyncio.Semaphore(AHEAD)
        sending = asyncio.create_task(send(stream, room))
        failure = await hear(stream, room)
        sending.cancel()
        await asyncio.wait({sending})
        sending.cancelled() or sending.exception()
        print("ended", failure.code.name, failure.reason)

async def hear(stream, room):
    try:
        while not stream.ended:
            before = stream.durable
            await stream.hear()
            print("acknowledged", stream.durable)
            for _ in range(stream.durable - before):
                room.release()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
        pass
    return await stream.end()

async def main(address, run):
    channel = open_channel(address)
    for writer in sys.stdin:
        await write(channel, run, writer.strip())
    await channel.close()

asyncio.run(main(*sys.argv[1:]))
"""
"""Writes for each writer that it is told, from 1 on and some batches ahead, until the stream is ended."""


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_a_process_that_was_stopped_is_fenced_and_adds_nothing(replicas: Replicas, seed: int) -> None:
    choice = random.Random(seed)
    async with AsyncExitStack() as stack:
        channels = [await stack.enter_async_context(open_channel(server.address)) for server in replicas]
        run = await make_run(channels[0])
        first = await stack.enter_async_context(script(FIRST, replicas[0].address, run))
        for number in range(ROUNDS):
            await first.say(f"{seed}-{number}")
            await first.read(choice.randrange(1, 20))
            first.signal(signal.SIGSTOP)
            durable = await _write_second(choice.choice(channels), run, f"{seed}-{number}")
            first.signal(signal.SIGCONT)
            await asyncio.wait_for(_ended(first), 20)
            assert first.last_line == "ended ABORTED WRITER_FENCED"
            stored = (await read_run(channels[0], run))["m"].doubles
            joined = [*range(1, durable + 1), *(-float(n) for n in range(MORE))]
            assert stored[-len(joined) :] == joined


async def _write_second(channel: grpc.aio.Channel, run: str, writer: str) -> int:
    """Writes as another process of the same writer; returns where it began."""
    async with metrics_stream(channel, run, writer) as second:
        durable = await second.opened()
        for number in range(MORE):
            await second.send(durable + 1 + number, doubles("m", [-float(number)]))
        await second.acknowledged(durable + MORE)
        return durable


async def _ended(first: Script) -> None:
    while not first.last_line.startswith("ended"):
        await first.read(1)


async def test_batches_that_the_network_held_back_do_not_land_after_the_next_opening(
    replicas: Replicas, config: Config
) -> None:
    async with (
        fault_proxy([replicas[0].address], lambda: None) as proxy,
        open_channel(proxy.address) as slow,
        open_channel(replicas[1].address) as channel,
    ):
        run = await make_run(channel)
        async with metrics_stream(slow, run) as first:
            await first.send(1, doubles("m", [1.0]))
            await first.acknowledged(1)
            proxy.hold()
            for sequence in (2, 3):
                await first.send(sequence, doubles("m", [100.0 + sequence]))
            async with metrics_stream(channel, run) as second:
                assert await second.opened() == 1
                await second.send(2, doubles("m", [2.0]))
                await second.acknowledged(2)
                proxy.release()
                assert await first.end() == FENCED
                await second.send(3, doubles("m", [3.0]))
                await second.acknowledged(3)
        assert (await read_run(channel, run))["m"].doubles == [1.0, 2.0, 3.0]
