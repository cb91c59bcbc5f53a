"""What is acknowledged survives kill -9 of the server, and comes once, whoever goes on with it."""

import asyncio

import grpc

from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream_server.config import Config
from runstream_server.rpc import open_channel
from tests import stubs
from tests.append_clients import LogClient, MetricsClient, doubles, log_stream, metrics_stream
from tests.make_runs import make_run
from tests.server_process import ServerProcess

BATCHES = 600
KILL_AT = (1, 300)
TEXT = b"".join(b"line %d\n" % n for n in range(30_000))
LOST = (grpc.aio.AioRpcError, AssertionError, asyncio.InvalidStateError)


class AcknowledgedIsGone(Exception):
    """The server does not have what it acknowledged."""


class Writers:
    """A writer of metrics and one of text, which go on where the server says, and send some of it again."""

    def __init__(self, run: str) -> None:
        self.run = run
        self._values = 0
        self._text = 0

    async def write_values(self, channel: grpc.aio.Channel, until: int) -> None:
        """Sends batches without waiting; returns as soon as the one with the sequence `until` is acknowledged."""
        async with metrics_stream(channel, self.run) as stream:
            durable = await stream.opened()
            if durable < self._values:
                raise AcknowledgedIsGone
            sending = asyncio.create_task(self._send_values(stream, max(durable - 3, 0)))
            await stream.acknowledged(until)
            self._values = stream.durable
            sending.cancel()

    async def _send_values(self, stream: MetricsClient, durable: int) -> None:
        for sequence in range(durable + 1, BATCHES + 1):
            await stream.send(sequence, doubles("m", [sequence, -sequence]))

    async def write_text(self, channel: grpc.aio.Channel) -> None:
        """Sends text until all is acknowledged or the server is gone."""
        async with log_stream(channel, self.run) as stream:
            try:
                durable = await stream.opened()
                if durable < self._text:
                    raise AcknowledgedIsGone
                await asyncio.gather(self._send_text(stream, max(durable - 100, 0)), stream.acknowledged(len(TEXT)))
            except LOST:
                pass
            self._text = max(stream.durable, self._text)

    async def _send_text(self, stream: LogClient, durable: int) -> None:
        for offset in range(durable, len(TEXT), 700):
            await stream.send(offset, TEXT[offset : offset + 700])


async def test_acknowledged_data_survives_kill_9_and_replayed_data_comes_once(config: Config) -> None:
    server = ServerProcess(config)
    await server.start()
    async with open_channel(server.address) as channel:
        writers = Writers(await make_run(channel))
    for until in (*KILL_AT, BATCHES):
        async with open_channel(server.address) as channel:
            text = asyncio.create_task(writers.write_text(channel))
            await writers.write_values(channel, until)
            if until < BATCHES:
                await server.kill()
                await server.start()
            await text

    async with open_channel(server.address) as channel:
        values = stubs.metrics(channel).ReadSeries(metrics.ReadSeriesRequest(runs=[writers.run]))
        assert [value async for each in values for value in each.columns.doubles.values] == [
            value for sequence in range(1, BATCHES + 1) for value in (sequence, -sequence)
        ]
        parts = stubs.logs(channel).ReadLog(logs.ReadLogRequest(run=writers.run, path="user_logs/std_log.txt"))
        assert b"".join([part.data async for part in parts]) == TEXT
    await server.kill()
