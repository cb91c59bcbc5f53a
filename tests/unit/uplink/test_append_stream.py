"""The client of append streams, against a server on a port that breaks off as a test tells it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest
from google.rpc import code_pb2, error_details_pb2, status_pb2
from grpc_status import rpc_status

from runstream._spool.progress import MAX_UNACKNOWLEDGED
from runstream._uplink.append import GATHER_SECONDS, MAX_FENCES, AppendStream, Patience, Piece, Stopped, Window
from runstream.api.metrics.v1 import metrics_service_pb2 as api
from tests import stubs
from tests.conditions import begun

Request, Response = api.WriteMetricsRequest, api.WriteMetricsResponse
Behaviour = Callable[["Peer"], Awaitable[None]]

SECONDS = 20.0
IN_FLIGHT_BYTES = 1_000_000


class Numbers:
    """Batches with nothing in them, numbered."""

    def __init__(self, count: int, size: int = 1, *, is_full: bool = True) -> None:
        self._count = count
        self._size = size
        self.is_full = is_full
        self._next = 1
        self.durable = 0
        self.opened_at: list[int] = []

    def open(self) -> api.WriteMetricsRequest:
        return Request(open=api.OpenMetrics(writer="w", durable_sequence=self.durable))

    def opened(self, opened: api.MetricsOpened) -> None:
        self.opened_at.append(opened.durable_sequence)
        self._next = opened.durable_sequence + 1

    async def next(self) -> Piece[api.WriteMetricsRequest] | None:
        if self._next > self._count:
            return None
        sequence, self._next = self._next, self._next + 1
        return Piece(Request(batch=api.MetricBatch(sequence=sequence)), sequence, self._size)

    def acknowledged(self, acknowledged: api.MetricsAcknowledged) -> int:
        self.durable = max(self.durable, acknowledged.durable_sequence)
        return acknowledged.durable_sequence

    def finish(self) -> api.WriteMetricsRequest:
        return Request(finish=api.FinishMetrics())


class Peer:
    """A server that stores sequences; each stream goes as the next behaviour says, the last one for all that follow."""

    def __init__(self, *behaviours: Behaviour) -> None:
        self._behaviours = list(behaviours)
        self.stored: list[int] = []
        self.finished = False
        self.streams = 0

    async def write_metrics(self, _: object, context: Any) -> None:
        """Serves one stream."""
        self.context = context
        self.streams += 1
        behaviour = self._behaviours.pop(0) if len(self._behaviours) > 1 else self._behaviours[0]
        assert (await context.read()).HasField("open")
        await behaviour(self)

    async def opens(self) -> None:
        """Answers the opening."""
        opened = api.MetricsOpened(durable_sequence=len(self.stored), max_in_flight_bytes=IN_FLIGHT_BYTES)
        await self.context.write(Response(opened=opened))

    async def stores(self, count: int) -> None:
        """Takes some batches in, without a word."""
        for _ in range(count):
            sequence = (await self.context.read()).batch.sequence
            if sequence == len(self.stored) + 1:
                self.stored.append(sequence)

    async def acknowledges(self) -> None:
        """Acknowledges what is stored."""
        durable = api.MetricsAcknowledged(durable_sequence=len(self.stored))
        await self.context.write(Response(acknowledged=durable))


def _handlers(peer: Peer) -> grpc.GenericRpcHandler:
    handler = grpc.stream_stream_rpc_method_handler(peer.write_metrics, Request.FromString, Response.SerializeToString)
    return grpc.method_handlers_generic_handler("runstream.api.metrics.v1.MetricsService", {"WriteMetrics": handler})


async def behaves(peer: Peer) -> None:
    """Does what a server has to."""
    await peer.opens()
    while (request := await peer.context.read()) is not grpc.aio.EOF:
        if request.HasField("finish"):
            peer.finished = True
        elif request.batch.sequence == len(peer.stored) + 1:
            peer.stored.append(request.batch.sequence)
            await peer.acknowledges()


def fails(code: grpc.StatusCode, reason: str = "", after: int = 0, acknowledging: bool = False) -> Behaviour:
    """Opens the stream, stores some batches, and ends with an error."""

    async def behave(peer: Peer) -> None:
        await peer.opens()
        await peer.stores(after)
        if acknowledging:
            await peer.acknowledges()
        await peer.context.abort_with_status(rpc_status.to_status(_status(code, reason)))

    return behave


def _status(code: grpc.StatusCode, reason: str) -> status_pb2.Status:
    status = status_pb2.Status(code=getattr(code_pb2, code.name), message="so it is")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain="runstream"))
    return status


async def says_nothing(peer: Peer) -> None:
    """Does not answer the opening."""
    await peer.context.read()


async def drains(peer: Peer) -> None:
    """Says that it stops, and does."""
    await peer.opens()
    await peer.context.write(Response(notice=api.MetricsNotice(kind=api.METRICS_NOTICE_KIND_DRAINING)))
    await peer.context.abort(grpc.StatusCode.UNAVAILABLE, "draining")


IMPATIENT = Patience(open_seconds=0.5, drained_seconds=0.0, foreign_seconds=0.0, pause_seconds=lambda _: 0.0)


@pytest.fixture
async def serve() -> AsyncIterator[Callable[[Peer], Awaitable[grpc.aio.Channel]]]:
    """Serves a peer and returns a channel to it."""
    opened: list[Any] = []

    async def start(peer: Peer) -> grpc.aio.Channel:
        server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
        server.add_generic_rpc_handlers([_handlers(peer)])
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_retries", 0)])
        opened.append((channel, server))
        return channel

    yield start
    for channel, server in opened:
        await channel.close()
        await server.stop(None)


Serve = Callable[[Peer], Awaitable[grpc.aio.Channel]]


async def carry(peer: Peer, numbers: Numbers, serve: Serve) -> None:
    channel = await serve(peer)
    async with asyncio.timeout(SECONDS):
        await AppendStream(stubs.metrics(channel).WriteMetrics, numbers, channel, IMPATIENT).run()


async def test_everything_is_stored_and_finished(serve: Serve) -> None:
    peer, numbers = Peer(behaves), Numbers(1_000)
    await carry(peer, numbers, serve)
    assert peer.stored == list(range(1, 1_001))
    assert peer.finished
    assert numbers.durable == 1_000
    assert peer.streams == 1


@pytest.mark.parametrize(
    "behaviour",
    [
        fails(grpc.StatusCode.UNAVAILABLE, "DRAINING", after=5),
        fails(grpc.StatusCode.UNAVAILABLE, "DATABASE_UNAVAILABLE", after=5, acknowledging=True),
        fails(grpc.StatusCode.INTERNAL, after=5),
        fails(grpc.StatusCode.FAILED_PRECONDITION, "SEQUENCE_GAP", after=5),
        fails(grpc.StatusCode.ABORTED, "WRITER_FENCED", after=5),
        fails(grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS"),
        fails(grpc.StatusCode.UNIMPLEMENTED),
        fails(grpc.StatusCode.UNAUTHENTICATED, after=5),
        fails(grpc.StatusCode.PERMISSION_DENIED),
        fails(grpc.StatusCode.NOT_FOUND),
        says_nothing,
        drains,
        Peer.opens,
    ],
)
async def test_a_stream_that_breaks_is_resumed_where_the_server_stands(serve: Serve, behaviour: Behaviour) -> None:
    peer, numbers = Peer(behaviour, behaves), Numbers(20)
    await carry(peer, numbers, serve)
    assert peer.stored == list(range(1, 21))
    assert numbers.opened_at[-1] in (0, 5)
    assert peer.streams == 2


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (grpc.StatusCode.NOT_FOUND, "RUN_NOT_FOUND"),
        (grpc.StatusCode.FAILED_PRECONDITION, "WRITER_DIVERGED"),
        (grpc.StatusCode.PERMISSION_DENIED, "NOT_ALLOWED"),
        (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_FIELD"),
    ],
)
async def test_an_error_that_stays_stops_the_writer(serve: Serve, code: grpc.StatusCode, reason: str) -> None:
    peer = Peer(fails(code, reason))
    with pytest.raises(Stopped) as caught:
        await carry(peer, Numbers(20), serve)
    assert caught.value.reason == reason
    assert peer.streams == 1


async def test_who_is_fenced_again_and_again_stops(serve: Serve) -> None:
    peer = Peer(fails(grpc.StatusCode.ABORTED, "WRITER_FENCED"))
    with pytest.raises(Stopped) as caught:
        await carry(peer, Numbers(20), serve)
    assert caught.value.reason == "WRITER_FENCED"
    assert peer.streams == MAX_FENCES + 1


async def test_no_more_is_under_way_than_the_server_allows(serve: Serve) -> None:
    counted = asyncio.Event()

    async def counts(peer: Peer) -> None:
        await peer.opens()
        await peer.stores(2)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await peer.stores(1)
        counted.set()
        await peer.context.abort(grpc.StatusCode.UNAVAILABLE, "enough")

    peer = Peer(counts, behaves)
    await carry(peer, Numbers(20, size=IN_FLIGHT_BYTES // 2), serve)
    assert counted.is_set()
    assert peer.stored == list(range(1, 21))


async def test_what_fills_no_message_waits_until_nothing_is_unacknowledged(serve: Serve) -> None:
    """The server has no more than one message at any time before it acknowledges it."""
    waited = 0

    async def counts(peer: Peer) -> None:
        nonlocal waited
        await peer.opens()
        for _ in range(3):
            await peer.stores(1)
            reading = asyncio.ensure_future(peer.stores(1))
            await asyncio.wait({reading}, timeout=2 * GATHER_SECONDS)
            waited += not reading.done()
            await peer.acknowledges()
            await reading
            await peer.acknowledges()
        await peer.context.abort(grpc.StatusCode.UNAVAILABLE, "enough")

    peer, numbers = Peer(counts, behaves), Numbers(20, is_full=False)
    await carry(peer, numbers, serve)
    assert waited == 3
    assert peer.stored == list(range(1, 21))


async def test_what_fills_a_message_meanwhile_does_not_wait(serve: Serve) -> None:
    numbers = Numbers(20, is_full=False)

    async def fills(peer: Peer) -> None:
        await peer.opens()
        await peer.stores(1)
        numbers.is_full = True
        await peer.stores(4)
        await peer.context.abort(grpc.StatusCode.UNAVAILABLE, "enough")

    peer = Peer(fills, behaves)
    await carry(peer, numbers, serve)
    assert peer.streams == 2
    assert peer.stored == list(range(1, 21))


async def test_a_window_bounds_the_number_of_pieces_too() -> None:
    window = Window(1_000_000)
    for position in range(MAX_UNACKNOWLEDGED):
        await window.has_room()
        window.add(position, 1)
    waiting = await begun(window.has_room())
    assert not waiting.done()
    window.release(0)
    await waiting


async def test_a_window_lets_one_piece_of_any_size_through() -> None:
    window = Window(10)
    await window.has_room()
    window.add(1, 1_000)
    waiting = asyncio.ensure_future(window.is_empty())
    window.release(1)
    await waiting
