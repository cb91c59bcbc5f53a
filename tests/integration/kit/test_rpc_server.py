"""What a server does besides calling methods: limits, errors that travel, health, draining."""

import asyncio
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc

from runstream_server.config import ServerConfig
from runstream_server.errors import FieldViolation, InvalidField, Unavailable
from tests.shapes import SERVICE, TooLate, call, detail, nothing, served


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
    assert detail(caught.value, error_details_pb2.RetryInfo).retry_delay.ToMilliseconds() == 1000


async def test_a_bad_request_names_its_fields() -> None:
    async def act(_: Any) -> None:
        raise InvalidField("run.tags[3].key", "a key has 1 to 250 characters")

    async with served(act) as (_, channel):
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(channel, "unary_unary")

    violation = detail(caught.value, error_details_pb2.BadRequest).field_violations[0]
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
            assert len(detail(caught.value, error_details_pb2.BadRequest).field_violations) > 1


async def test_health_says_when_the_server_cannot_do_its_work() -> None:
    well = asyncio.Event()
    well.set()

    async def act(_: Any) -> None:
        """Nothing."""

    async def is_well() -> bool:
        return well.is_set()

    async with served(act, is_well=is_well, look_seconds=0.01) as (_, channel):
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
    assert detail(caught.value, error_details_pb2.ErrorInfo).reason == "DRAINING"
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


async def test_requests_of_a_method_are_read_by_what_it_names() -> None:
    async with served(nothing) as (server, channel):
        server.read_by(f"/{SERVICE}/unary_unary", bytes.upper)

        assert await call(channel, "unary_unary") == b"AB"
        assert await call(channel, "stream_stream") == b"ab"
