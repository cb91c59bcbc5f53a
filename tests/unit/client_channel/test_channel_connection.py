"""Calls over a real channel to a small real server."""

import asyncio
import operator
import socket
from collections.abc import AsyncIterator

import grpc
import pytest
from google.protobuf.any_pb2 import Any
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2

from runstream._channel import Connection
from runstream._channel.connection import close_connections
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.exceptions import ServiceException, UserErrorException

Context = grpc.aio.ServicerContext[object, object]


class Servicer:
    """Answers with what the test put in line."""

    def __init__(self) -> None:
        self.failures: list[tuple[grpc.StatusCode, bytes]] = []
        self.requests: list[object] = []
        self.cancelled = asyncio.Event()

    async def answer(self, request: object, context: Context) -> None:
        self.requests.append(request)
        if self.failures:
            code, details = self.failures.pop(0)
            context.set_trailing_metadata((("grpc-status-details-bin", details),))
            await context.abort(code, "as asked")

    async def get_run(self, request: api.GetRunRequest, context: Context) -> api.GetRunResponse:
        await self.answer(request, context)
        return api.GetRunResponse()

    async def create_run(self, request: api.CreateRunRequest, context: Context) -> api.CreateRunResponse:
        await self.answer(request, context)
        return api.CreateRunResponse()

    async def watch_runs(self, request: api.WatchRunsRequest, context: Context) -> None:
        try:
            await context.write(api.WatchRunsResponse(resume_token="1"))
            await self.answer(request, context)
            await asyncio.Event().wait()
        finally:
            self.cancelled.set()


@pytest.fixture
async def servicer() -> Servicer:
    """What the server answers."""
    return Servicer()


@pytest.fixture
async def connection(servicer: Servicer) -> AsyncIterator[Connection]:
    """A connection to a server."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.unary_stream_rpc_method_handler
    get, create, watch = api.GetRunRequest, api.CreateRunRequest, api.WatchRunsRequest
    serialize = operator.methodcaller("SerializeToString")
    handlers: dict[str, grpc.RpcMethodHandler[object, object]] = {
        "GetRun": unary(servicer.get_run, get.FromString, serialize),
        "CreateRun": unary(servicer.create_run, create.FromString, serialize),
        "WatchRuns": stream(servicer.watch_runs, watch.FromString, serialize),
    }
    name = api.DESCRIPTOR.services_by_name["RunHistoryService"].full_name
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(name, handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield Connection.to(f"127.0.0.1:{port}")
    await close_connections()
    await server.stop(None)


def unavailable() -> tuple[grpc.StatusCode, bytes]:
    return grpc.StatusCode.UNAVAILABLE, b""


async def test_a_call_that_finds_the_service_away_is_repeated(connection: Connection, servicer: Servicer) -> None:
    servicer.failures = [unavailable()] * 4

    await connection.call(connection.runs.GetRun, api.GetRunRequest())

    assert len(servicer.requests) == 5


async def test_a_service_that_stays_away_is_given_up_at_the_deadline(
    connection: Connection, servicer: Servicer
) -> None:
    servicer.failures = [unavailable()] * 99

    with pytest.raises(ServiceException) as caught:
        await connection.call(connection.runs.GetRun, api.GetRunRequest(), timeout=0.6)

    assert caught.value.status_code == 503
    assert len(servicer.requests) > 1


async def test_a_call_that_is_not_idempotent_is_made_once(connection: Connection, servicer: Servicer) -> None:
    servicer.failures = [unavailable()]

    with pytest.raises(ServiceException):
        await connection.call(connection.runs.GetRun, api.GetRunRequest(), retry=False)

    assert len(servicer.requests) == 1


async def test_repeated_creates_carry_the_same_request_id(connection: Connection, servicer: Servicer) -> None:
    servicer.failures = [unavailable()]

    await connection.call(connection.runs.CreateRun, api.CreateRunRequest())

    first, second = servicer.requests
    assert isinstance(first, api.CreateRunRequest)
    assert first.request_id
    assert first == second


async def test_a_busy_service_is_asked_again_when_it_says_so(connection: Connection, servicer: Servicer) -> None:
    status, packed = status_pb2.Status(), Any()
    packed.Pack(error_details_pb2.RetryInfo(retry_delay=Duration(nanos=1)))
    status.details.append(packed)
    servicer.failures = [(grpc.StatusCode.RESOURCE_EXHAUSTED, status.SerializeToString())]

    await connection.call(connection.runs.GetRun, api.GetRunRequest())

    assert len(servicer.requests) == 2


async def test_a_wrong_call_is_not_repeated(connection: Connection, servicer: Servicer) -> None:
    servicer.failures = [(grpc.StatusCode.INVALID_ARGUMENT, b"")]

    with pytest.raises(UserErrorException, match="as asked"):
        await connection.call(connection.runs.GetRun, api.GetRunRequest())

    assert len(servicer.requests) == 1


async def test_a_stream_that_is_left_early_is_cancelled(connection: Connection, servicer: Servicer) -> None:
    async for response in connection.stream(connection.runs.WatchRuns, api.WatchRunsRequest()):
        assert response.resume_token == "1"
        break

    async with asyncio.timeout(10):
        await servicer.cancelled.wait()


async def test_a_stream_that_breaks_raises_what_its_status_says(connection: Connection, servicer: Servicer) -> None:
    servicer.failures = [(grpc.StatusCode.NOT_FOUND, b"")]

    with pytest.raises(ServiceException) as caught:
        async for _ in connection.stream(connection.runs.WatchRuns, api.WatchRunsRequest()):
            pass

    assert caught.value.status_code == 404


async def test_there_is_one_connection_per_address(connection: Connection) -> None:
    assert Connection.to(connection.address) is connection


@pytest.mark.parametrize("backlog", [None, 8], ids=["refused", "silent"])
async def test_an_address_that_nobody_answers_at_says_what_to_do_within_five_seconds(backlog: int | None) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        if backlog:
            nobody.listen(backlog)
        connection = Connection.to(f"127.0.0.1:{nobody.getsockname()[1]}")
        async with asyncio.timeout(5):
            with pytest.raises(ServiceException, match=r"runstream up.*RUNSTREAM_ADDRESS.*runstream login"):
                await connection.call(connection.runs.GetRun, api.GetRunRequest())
        await close_connections()
