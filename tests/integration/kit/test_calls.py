"""The wrapper around calls, over all kinds of methods and both styles of writing them."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2

from tests.shapes import METHODS, TooLate, call, detail, nothing, served


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
    info = detail(caught.value, error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain, dict(info.metadata)) == ("TOO_LATE", "runstream", {"train": "IC 5"})


@pytest.mark.parametrize("method", METHODS)
async def test_bytes_that_are_no_message_are_an_invalid_argument(method: str) -> None:
    async with served(nothing, deserialize=health_pb2.HealthCheckRequest.FromString) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, method, parts=[b"ab"])  # a second message may find the call ended already

    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "the message cannot be read" in str(caught.value.details())
    assert detail(caught.value, error_details_pb2.ErrorInfo).reason == "MALFORMED_MESSAGE"


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
