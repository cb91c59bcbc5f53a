"""Small clients of the append streams, which do exactly what a test tells them."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from runstream._channel.errors import CallFailure, read_failure
from runstream._channel.exchange import Exchange
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs

_SECONDS = 20.0


@dataclass(frozen=True)
class Failure:
    """How a call failed."""

    code: grpc.StatusCode
    reason: str
    metadata: Mapping[str, str]


async def failure_of(call: Any) -> Failure:
    """How a call that is over failed."""
    details = dict(await call.trailing_metadata() or ()).get("grpc-status-details-bin")
    return _failure(read_failure((await call.code()).name, await call.details(), details))


def _failure(failure: CallFailure) -> Failure:
    return Failure(grpc.StatusCode[failure.code], failure.reason, failure.metadata)


async def failure_of_stream(call: Any) -> Failure:
    """Takes in all that a server stream says; returns how it ended."""
    try:
        async with asyncio.timeout(_SECONDS):
            async for _ in call:
                pass
    except grpc.aio.AioRpcError:
        pass
    return await failure_of(call)


class AppendClient(ABC):
    """One append stream. Reads what the server says until something expected is there."""

    def __init__(self, call: Any) -> None:
        self.call = Exchange(call)
        self.durable = -1
        self.acknowledgements: list[int] = []
        self.notices: list[int] = []
        self.ended = False

    async def say(self, message: Any) -> None:
        """Sends a message."""
        try:
            async with asyncio.timeout(_SECONDS):
                await self.call.write(message)
        except (grpc.aio.AioRpcError, grpc.aio.InternalError):
            raise AssertionError(f"the stream ended with {await self.call.ending()}") from None

    async def hear(self, seconds: float = _SECONDS) -> None:
        """Takes in one message of the server, or the end of the stream, which comes within so many seconds."""
        async with asyncio.timeout(seconds):
            message = await self.call.read()
        if message is grpc.aio.EOF:
            self.ended = True
        elif message.HasField("opened"):
            self.heard_opened(message.opened)
        elif message.HasField("acknowledged"):
            self.heard_acknowledged(message.acknowledged)
        else:
            self.notices.append(message.notice.kind)

    @abstractmethod
    def heard_opened(self, opened: Any) -> None:
        """Takes in the answer to `open`."""

    @abstractmethod
    def heard_acknowledged(self, acknowledged: Any) -> None:
        """Takes in an acknowledgement."""

    async def opened(self) -> int:
        """Waits for the answer to `open`; returns the durable position."""
        while self.durable < 0:
            await self._hear_or_fail()
        return self.durable

    async def acknowledged(self, position: int) -> None:
        """Waits until everything up to a position is acknowledged."""
        while self.durable < position or not self.acknowledgements:
            await self._hear_or_fail()

    async def noticed(self, kind: int) -> None:
        """Waits for a notice."""
        while kind not in self.notices:
            await self._hear_or_fail()

    async def _hear_or_fail(self) -> None:
        await self.hear()
        if self.ended:
            raise AssertionError(f"the stream ended with {await self.call.ending()}")

    async def half_close(self) -> grpc.StatusCode:
        """Says no more, takes in everything up to the end, and returns how the stream ended."""
        await self.call.done_writing()
        return (await self.end()).code

    async def end(self) -> Failure:
        """Takes in everything up to the end of the stream; returns how it ended."""
        try:
            while not self.ended:
                await self.hear()
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            pass
        return _failure(await self.call.ending())


class MetricsClient(AppendClient):
    """A stream of WriteMetrics."""

    def __init__(self, call: Any) -> None:
        super().__init__(call)
        self.refusals: list[metrics.SeriesRefusal] = []

    def heard_opened(self, opened: metrics.MetricsOpened) -> None:
        self.durable = opened.durable_sequence

    def heard_acknowledged(self, acknowledged: metrics.MetricsAcknowledged) -> None:
        self.durable = acknowledged.durable_sequence
        self.acknowledgements.append(self.durable)
        self.refusals.extend(acknowledged.refusals)

    async def send(self, sequence: int, *series: metrics.SeriesColumns, digest: bytes = b"") -> None:
        """Sends a batch."""
        batch = metrics.MetricBatch(sequence=sequence, series=series, digest=digest)
        await self.say(metrics.WriteMetricsRequest(batch=batch))

    async def finish(self) -> None:
        """Says that the writer is done."""
        await self.say(metrics.WriteMetricsRequest(finish=metrics.FinishMetrics()))


class LogClient(AppendClient):
    """A stream of WriteLog."""

    def heard_opened(self, opened: logs.LogOpened) -> None:
        self.durable = opened.durable_offset

    def heard_acknowledged(self, acknowledged: logs.LogAcknowledged) -> None:
        self.durable = acknowledged.durable_offset
        self.acknowledgements.append(self.durable)

    async def send(self, offset: int, data: bytes) -> None:
        """Sends a chunk."""
        await self.say(logs.WriteLogRequest(chunk=logs.LogChunk(offset=offset, data=data)))

    async def finish(self) -> None:
        """Says that the file is complete."""
        await self.say(logs.WriteLogRequest(finish=logs.FinishLog()))


@asynccontextmanager
async def metrics_stream(
    channel: grpc.aio.Channel, run: str, writer: str = "writer", *, durable: int = 0, digest: bytes = b""
) -> AsyncIterator[MetricsClient]:
    """Opens a stream of WriteMetrics and sends `open`."""
    call = stubs.metrics(channel).WriteMetrics()
    client = MetricsClient(call)
    opened = metrics.OpenMetrics(run=run, writer=writer, durable_sequence=durable, durable_digest=digest)
    try:
        await client.say(metrics.WriteMetricsRequest(open=opened))
        yield client
    finally:
        call.cancel()  # type: ignore[attr-defined]


@asynccontextmanager
async def log_stream(
    channel: grpc.aio.Channel,
    run: str,
    path: str = "user_logs/std_log.txt",
    writer: str = "writer",
    *,
    durable: int = 0,
    digest: bytes = b"",
) -> AsyncIterator[LogClient]:
    """Opens a stream of WriteLog and sends `open`."""
    call = stubs.logs(channel).WriteLog()
    client = LogClient(call)
    opened = logs.OpenLog(run=run, path=path, writer=writer, durable_offset=durable, durable_digest=digest)
    try:
        await client.say(logs.WriteLogRequest(open=opened))
        yield client
    finally:
        call.cancel()  # type: ignore[attr-defined]


def doubles(metric: str, values: Iterable[float], steps: Iterable[int] = ()) -> metrics.SeriesColumns:
    """Columns of numbers, logged at microsecond 1, 2, 3 and so on."""
    values = list(values)
    return metrics.SeriesColumns(
        metric=metric,
        steps=steps,
        times=range(1, len(values) + 1),
        doubles=metrics.DoubleValues(values=values),
    )
