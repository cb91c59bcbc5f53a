"""A service with methods of all kinds, in both styles of writing them, served as all services are."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_status import rpc_status

from runstream_server.config import ServerConfig
from runstream_server.errors import FailedPrecondition
from runstream_server.rpc import RpcServer, rpc_server
from runstream_server.rpc.server import LOOK_SECONDS, serving

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
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[tuple[RpcServer, Any]]:
    config = config or ServerConfig(port=0, drain_seconds=0)
    shapes = Shapes(act)
    async with rpc_server(config, "none") as server:
        handlers = {
            method: getattr(grpc, f"{_kind(method)}_rpc_method_handler")(getattr(shapes, method), deserialize)
            for method in METHODS
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
        async with serving(server, config, is_well, look_seconds), grpc.aio.insecure_channel(server.address) as channel:
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


def detail(error: grpc.aio.AioRpcError, kind: type[Any]) -> Any:
    status = rpc_status.from_call(error)
    assert status is not None
    found = kind()
    assert any(detail.Unpack(found) for detail in status.details)
    return found
