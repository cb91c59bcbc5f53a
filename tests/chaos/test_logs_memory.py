"""P6 for logs: readers that never read are held in little memory, and others are served."""

from contextlib import AsyncExitStack
from dataclasses import replace

import grpc
import psutil

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import log_stream
from tests.chaos.scale import SCALE
from tests.make_runs import make_run
from tests.server_process import ServerProcess

MIB = 1024 * 1024
READERS = 10 * SCALE.factor
CHUNKS = 48
PER_READER = 3 * MIB
"""What was decoded of a page, a message made of it, and the window of its connection."""
SLACK = 64 * MIB
PATH = "user_logs/std_log.txt"


async def test_readers_of_logs_that_never_read_are_held_and_others_are_served(config: Config) -> None:
    maintenance = MaintenanceConfig(share=1.0, log_seal_bytes=8 * MIB)
    server = ServerProcess(replace(config, maintenance=maintenance))
    async with server.running(), open_channel(server.address) as channel, AsyncExitStack() as stack:
        run = await make_run(channel)
        async with log_stream(channel, run) as stream:
            for number in range(CHUNKS):
                await stream.send(number * MIB, bytes([number]) * (MIB - 1) + b"\n")
            await stream.acknowledged(CHUNKS * MIB)
            before = psutil.Process(server.pid).memory_info().rss
            for _ in range(READERS):
                silent = await stack.enter_async_context(open_channel(server.address))
                reading = stubs.logs(silent).ReadLog(messages.ReadLogRequest(run=run, path=PATH))
                tailing = stubs.logs(silent).TailLog(messages.TailLogRequest(run=run, path=PATH))
                assert await reading.read() is not grpc.aio.EOF
                assert await tailing.read() is not grpc.aio.EOF
            await stream.send(CHUNKS * MIB, b"more")
            await stream.acknowledged(CHUNKS * MIB + 4)
        parts = stubs.logs(channel).ReadLog(messages.ReadLogRequest(run=run, path=PATH))
        assert sum([len(part.data) async for part in parts]) == CHUNKS * MIB + 4
        assert psutil.Process(server.pid).memory_info().rss - before <= 2 * READERS * PER_READER + SLACK
