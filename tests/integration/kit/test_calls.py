"""The wrapper around calls, over all kinds of methods and both styles of writing them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from runstream_server.config import ServerConfig
from runstream_server.errors import FailedPrecondition, FieldViolation, InvalidField, Unavailable
from runstream_server.rpc import RpcServer, rpc_server
from runstream_server.rpc.server import serving

SERVICE = "test.Shapes"

UnaryAct = Callable[[Any], Awaitable[None]]


class TooLate(FailedPrecondition):
    """An error for these tests."""

    reason = "TOO_LATE"


class Shapes:
    """One method of each kind and style; each reads what it is sent, does `act`, and answers what it read."""

    def __init__(self, act: UnaryAct) -> None:
        self._act = act

    async def unary_unary(self, request: bytes, context: Any) -> bytes:
        await self._act(context)
        return request

    async def stream_unary(self, requests: AsyncIterator[bytes], context: Any) -> bytes:
        read = b"".join([request async for request in requests])
        await self._act(context)
        return read

    async def stream_unary_reading(self, _: object, context: Any) -> bytes:
        read = b""
        while (request := await context.read()) is not grpc.aio.EOF:
            read += request
        await self._act(context)
        return read

    async def unary_stream(self, request: bytes, context: Any) -> AsyncIterator[bytes]:
        await self._act(context)
        yield request

    async def unary_stream_writing(self, request: bytes, context: Any) -> None:
        await self._act(context)
        await context.write(request)

    async def stream_stream(self, requests: AsyncIterator[bytes], context: Any) -> AsyncIterator[bytes]:
        read = [request async for request in requests]
        await self._act(context)
        for request in read:
            yield request

    async def stream_stream_writing(self, _: object, context: Any) -> None:
        read = []
        while (request := await context.read()) is not grpc.aio.EOF:
            read.append(request)
        await self._act(context)
        for request in read:
            await context.write(request)

    async def stream_stream_mixed(self, requests: AsyncIterator[bytes], context: Any) -> None:
        read = [request async for request in requests]
        await self._act(context)
        await context.write(b"".join(read))


async def always_well() -> bool:
    return True


METHODS = [name for name in vars(Shapes) if name.startswith(("unary", "stream"))]


def _kind(method: str) -> str:
    return "_".join(method.split("_")[:2])


@asynccontextmanager
async def served(
    act: UnaryAct,
    config: ServerConfig | None = None,
    deserialize: Callable[[bytes], Any] | None = None,
    is_well: Callable[[], Awaitable[bool]] = always_well,
) -> AsyncIterator[tuple[RpcServer, Any]]:
    config = config or ServerConfig(port=0, drain_seconds=0)
    shapes = Shapes(act)
    async with rpc_server(config, "none") as server:
        handlers = {
            method: getattr(grpc, f"{_kind(method)}_rpc_method_handler")(getattr(shapes, method), deserialize)
            for method in METHODS
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        async with serving(server, config, is_well), grpc.aio.insecure_channel(server.address) as channel:
            yield server, channel


async def call(channel: Any, method: str, timeout: float = 20, parts: Sequence[bytes] = (b"a", b"b")) -> Any:  # noqa: ASYNC109
    path = f"/{SERVICE}/{method}"
    match _kind(method):
        case "unary_unary":
            return await channel.unary_unary(path)(b"ab", timeout=timeout)
        case "stream_unary":
            return await channel.stream_unary(path)(iter(parts), timeout=timeout)
        case "unary_stream":
            return b"".join([part async for part in channel.unary_stream(path)(b"ab", timeout=timeout)])
        case _:
            return b"".join([part async for part in channel.stream_stream(path)(iter(parts), timeout=timeout)])


async def nothing(_: Any) -> None:
    """Lets the call end normally."""


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_ends_normally_is_answered(method: str) -> None:
    async with served(nothing) as (_, channel):
        assert await call(channel, method) == b"ab"


@pytest.mark.parametrize("method", METHODS)
async def test_an_error_of_ours_reaches_the_caller_with_its_reason(method: str) -> None:
    async def act(_: Any) -> None:
        raise TooLate("the train left; take the next one", train="IC 5")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert caught.value.details() == "the train left; take the next one"
    info = _detail(caught.value, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_LATE", "runstream", {"train": "IC 5"})


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_an_invalid_argument(method: str) -> None:
    async with served(nothing, deserialize=health_pb2.HealthCheckRequest.FromString) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method, parts=[b"ab"])  # a second message may find the call ended already

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "the message cannot be read" in str(caught.value.details())
    assert _detail(caught.value, error_details_pb2.ErrorInfo).reason == "MALFORMED_MESSAGE"


@pytest.mark.parametrize("method", METHODS)
async def test_an_unexpected_error_tells_the_caller_a_request_id_and_nothing_else(method: str) -> None:
    async def act(_: Any) -> None:
        raise ValueError("the password is secret")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method)

    assert caught.value.code() is grpc.StatusCode.INTERNAL
    request_id = dict(caught.value.trailing_metadata() or ())["x-request-id"]
    assert caught.value.details() == f"internal error; request id {request_id}"


@pytest.mark.parametrize("method", METHODS)
async def test_an_error_inside_a_task_group_is_found(method: str) -> None:
    async def fail() -> None:
        raise TooLate("no")

    async def act(_: Any) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(fail())

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method)

    assert caught.value.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize("method", METHODS)
async def test_an_abort_of_the_handler_is_kept(method: str) -> None:
    async def act(context: Any) -> None:
        await context.abort(grpc.StatusCode.DATA_LOSS, "gone")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method)

    assert (caught.value.code(), caught.value.details()) == (grpc.StatusCode.DATA_LOSS, "gone")


@pytest.mark.parametrize("method", METHODS)
async def test_a_cancellation_inside_the_handler_does_not_leave_the_caller_waiting(method: str) -> None:
    async def act(_: Any) -> None:
        raise asyncio.CancelledError

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method)

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize("method", METHODS)
async def test_a_call_that_the_peer_cancels_is_cancelled_in_the_handler(method: str) -> None:
    began, ended = asyncio.Event(), asyncio.Event()

    async def act(_: Any) -> None:
        began.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with served(act) as (_, channel):
        task = asyncio.create_task(call(channel, method))
        await began.wait()
        task.cancel()
        async with asyncio.timeout(20):
            await ended.wait()


@pytest.mark.parametrize("method", METHODS)
async def test_a_deadline_ends_the_call(method: str) -> None:
    ended = asyncio.Event()

    async def act(_: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method, timeout=0.3)
        async with asyncio.timeout(20):
            await ended.wait()

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_a_call_without_a_deadline_gets_the_ceiling_of_the_server() -> None:
    async def act(_: Any) -> None:
        await asyncio.Event().wait()

    async with served(act, ServerConfig(port=0, drain_seconds=0, max_call_seconds=0.2)) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{SERVICE}/unary_unary")(b"")

    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_more_calls_of_a_class_than_its_limit_are_refused_and_other_classes_are_not() -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def act(_: Any) -> None:
        if not release.is_set():
            began.set()
            await release.wait()

    async with served(act, ServerConfig(port=0, drain_seconds=0, max_tail_streams=1)) as (_, channel):
        first = asyncio.create_task(call(channel, "unary_stream"))
        await began.wait()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_stream")
        release.set()
        assert await first == b"ab"
        assert await call(channel, "unary_unary") == b"ab"

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert _detail(caught.value, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 1000


async def test_a_bad_request_names_its_fields() -> None:
    async def act(_: Any) -> None:
        raise InvalidField("run.tags[3].key", "a key has 1 to 250 characters")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary")

    violation = _detail(caught.value, error_details_pb2.BadRequest).field_violations[0]
    assert (violation.field, violation.description) == ("run.tags[3].key", "a key has 1 to 250 characters")


async def test_error_details_stay_small_enough_to_travel() -> None:
    async def act(_: Any) -> None:
        raise InvalidField("x" * 100_000, "ü" * 100_000)

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary")

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("character", ["x", "ü", "漢", "😀", "%"])
async def test_errors_of_many_fields_in_any_script_travel_whole(character: str) -> None:
    async def act(_: Any) -> None:
        problems = [FieldViolation(f"tags[{number}].{character * 300}", character * 300) for number in range(100)]
        raise InvalidField(character * 100, character * 5_000, *problems)

    async with served(act) as (_, channel):
        for _ in range(10):  # what is near the limit is dropped at random
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await call(channel, "unary_unary")
            assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
            assert len(_detail(caught.value, error_details_pb2.BadRequest).field_violations) > 1


async def test_health_says_when_the_server_cannot_do_its_work(monkeypatch: pytest.MonkeyPatch) -> None:
    well = asyncio.Event()
    well.set()

    async def act(_: Any) -> None:
        """Nothing."""

    async def is_well() -> bool:
        return well.is_set()

    monkeypatch.setattr("runstream_server.rpc.server._LOOK_SECONDS", 0.01)
    async with served(act, is_well=is_well) as (_, channel):
        stub: Any = health_pb2_grpc.HealthStub(channel)
        watch = stub.Watch(health_pb2.HealthCheckRequest())
        before = (await watch.read()).status
        well.clear()
        meanwhile = (await watch.read()).status
        well.set()
        after = (await watch.read()).status
        watch.cancel()

    assert (before, meanwhile, after) == (1, 2, 1)


async def test_the_request_id_of_the_caller_is_kept() -> None:
    async def act(_: Any) -> None:
        raise TooLate("no")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{SERVICE}/unary_unary")(b"", metadata=(("x-request-id", "mine-1"),))

    assert dict(caught.value.trailing_metadata() or ())["x-request-id"] == "mine-1"


async def test_a_draining_server_says_so_and_lets_open_calls_end() -> None:
    began, release = asyncio.Event(), asyncio.Event()

    async def act(_: Any) -> None:
        began.set()
        await release.wait()

    async with served(act) as (server, channel):
        first = asyncio.create_task(call(channel, "unary_unary"))
        await began.wait()
        server.draining.set()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary")
        release.set()
        assert await first == b"ab"

    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert _detail(caught.value, error_details_pb2.ErrorInfo).reason == "DRAINING"
    assert issubclass(Unavailable, Exception)


async def test_health_is_told_per_service_and_watched() -> None:
    async with served(nothing) as (_, channel):
        health = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
        watch = health.Watch(health_pb2.HealthCheckRequest(service=""))
        first = await watch.read()
        watch.cancel()

    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    assert first.status == health_pb2.HealthCheckResponse.SERVING


async def test_an_unknown_method_is_unimplemented() -> None:
    async with served(nothing) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary(f"/{SERVICE}/Missing")(b"")

    assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED


def _detail(error: grpc.aio.AioRpcError, kind: type[Any]) -> Any:
    status = rpc_status.from_call(error)
    assert status is not None
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details)
    return found
