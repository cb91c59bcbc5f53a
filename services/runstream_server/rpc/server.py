"""Construction, start and stop of a server."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection, reflection_pb2_grpc

from runstream_server.auth_config import Exposure, check_exposure, is_loopback
from runstream_server.config import ServerConfig
from runstream_server.errors import ConfigurationError
from runstream_server.rpc.call import CallPolicy, Handler, wrap
from runstream_server.rpc.guarding import Guards
from runstream_server.rpc.limits import CallLimit
from runstream_server.rpc.options import server_options
from runstream_server.rpc.tls import server_credentials

logger = logging.getLogger(__name__)

LOOK_SECONDS = 5.0
"""How often a process looks whether it can do its work."""

_BAD_ANSWERS = 2
_INSIDE = "127.0.0.1"


class RpcServer:
    """A server to register servicers with. Every method gets the wrapper that all calls have in common.

    Only generic handlers are passed on: grpcio's cost per call grows with the number of registered methods
    (grpc/grpc#43436).
    """

    def __init__(self, config: ServerConfig, access_log: str, guards: Guards | None = None) -> None:
        """`guards` decide who may call what; None: everybody may call everything."""
        self._config = config
        self._access_log = access_log
        self._guards = guards
        self._server = grpc.aio.server(options=server_options(share_port=config.share_port))
        self._services: list[str] = []
        self._readers: dict[str, Callable[[bytes], Any]] = {}
        self._limits = {
            "unary": CallLimit("unary", config.max_unary_calls),
            "append": CallLimit("append", config.max_append_streams),
            "tail": CallLimit("tail", config.max_tail_streams),
        }
        self.draining = asyncio.Event()
        """Set when the server stops: streams say so, commit what arrived and end."""
        self.port = self._bind()
        self._inner_port = self._bind_inside()

    def _bind(self) -> int:
        config, tls = self._config, self._config.tls
        check_exposure(config.host, Exposure(tls is not None, self._guards is not None, config.insecure))
        place, credentials = f"{config.host}:{config.port}", server_credentials(tls) if tls else None
        try:
            if credentials is None:
                return self._server.add_insecure_port(place)
            return self._server.add_secure_port(place, credentials)
        except RuntimeError:
            raise ConfigurationError(
                "RUNSTREAM_PORT",
                f"port {config.port} of {config.host} is taken; choose another one, or 0 for a free one",
            ) from None

    def _bind_inside(self) -> int | None:
        """A port for the services themselves, where the other one is for names or hosts beyond this machine."""
        if self._config.tls is None and is_loopback(self._config.host):
            return None
        return self._server.add_insecure_port(f"{_INSIDE}:0")

    @property
    def address(self) -> str:
        """Where the server listens: `host:port`."""
        return f"{self._config.host}:{self.port}"

    @property
    def inner_address(self) -> str:
        """Where the services of this process reach each other, without TLS: `host:port`, of the loopback."""
        return self.address if self._inner_port is None else f"{_INSIDE}:{self._inner_port}"

    @property
    def services(self) -> Sequence[str]:
        """The full names of the registered services."""
        return self._services

    def read_by(self, method: str, deserialize: Callable[[bytes], Any]) -> None:
        """Has the requests of a full method read by another function than that of the generated code.

        It may raise DecodeError.
        """
        self._readers[method] = deserialize

    def add_generic_rpc_handlers(self, handlers: Sequence[grpc.GenericRpcHandler]) -> None:
        """Registers the handlers of a service; generated code calls this."""
        for handler in handlers:
            if isinstance(handler, grpc.ServiceRpcHandler):
                self._services.append(handler.service_name() or "")
            self._server.add_generic_rpc_handlers((_WrappingHandler(handler, self._policy),))

    def add_registered_method_handlers(self, *_: object) -> None:
        """Does nothing: the generic handler serves these methods already; newer generated code calls this."""

    def _policy(self, method: str, handler: Handler) -> CallPolicy:
        call_class = "append" if handler.request_streaming else "tail" if handler.response_streaming else "unary"
        return CallPolicy(
            method=method,
            limit=self._limits[call_class],
            max_seconds=self._config.max_call_seconds if call_class == "unary" else None,
            draining=self.draining,
            access_log=self._access_log,
            deserialize=self._readers.get(method),
            guard=self._guards(method) if self._guards else None,
        )

    async def start(self) -> None:
        """Begins to take calls."""
        await self._server.start()

    async def stop(self, grace_seconds: float) -> None:
        """Ends all calls after at most `grace_seconds`."""
        await self._server.stop(grace_seconds)


class _WrappingHandler(grpc.GenericRpcHandler):
    """Finds the handler of a method and wraps it, once per method."""

    def __init__(self, inner: grpc.GenericRpcHandler, policy: Any) -> None:
        self._inner = inner
        self._policy = policy
        self._wrapped: dict[str, Handler] = {}

    def service(self, handler_call_details: grpc.HandlerCallDetails) -> "Handler | None":
        method = handler_call_details.method
        if wrapped := self._wrapped.get(method):
            return wrapped
        handler = self._inner.service(handler_call_details)
        if handler is None:
            return None
        return self._wrapped.setdefault(method, wrap(handler, self._policy(method, handler)))


@asynccontextmanager
async def rpc_server(config: ServerConfig, access_log: str, guards: Guards | None = None) -> AsyncIterator[RpcServer]:
    """Makes a server that is bound and not started; stops it, however the context ends."""
    server = RpcServer(config, access_log, guards)
    try:
        yield server
    finally:
        server.draining.set()
        await server.stop(0)


@asynccontextmanager
async def serving(
    server: RpcServer,
    config: ServerConfig,
    is_well: Callable[[], Awaitable[bool]],
    look_seconds: float = LOOK_SECONDS,
) -> AsyncIterator[None]:
    """Adds health and reflection, takes calls, and drains at the end.

    Health is asked of `is_well` every `look_seconds`; after two bad answers in a row it says NOT_SERVING.

    Draining: health says NOT_SERVING, balancers get `endpoint_seconds` to notice, streams are told and commit what they
    have, and whatever is still open after `drain_seconds` is ended.
    """
    health_servicer = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(health_servicer, server)  # type: ignore[no-untyped-call]
    names = [*server.services, reflection.SERVICE_NAME]
    reflection_servicer = reflection.aio.ReflectionServicer(names)  # type: ignore[no-untyped-call]
    reflection_pb2_grpc.add_ServerReflectionServicer_to_server(reflection_servicer, server)  # type: ignore[no-untyped-call]
    await _set_health(health_servicer, names, well=True)
    await server.start()
    look = asyncio.create_task(_look_forever(health_servicer, names, is_well, look_seconds), name="health")
    logger.info("serving", extra={"address": server.address, "services": names})
    try:
        yield
    finally:
        look.cancel()
        await asyncio.wait({look})
        await health_servicer.enter_graceful_shutdown()
        await asyncio.sleep(config.endpoint_seconds)
        server.draining.set()
        await server.stop(config.drain_seconds)
        logger.info("stopped serving", extra={"address": server.address})


async def _look_forever(
    servicer: Any, names: Sequence[str], is_well: Callable[[], Awaitable[bool]], look_seconds: float
) -> None:
    """Keeps health as it is: balancers send no calls to who cannot answer them."""
    bad = 0
    while True:
        await asyncio.sleep(look_seconds)
        bad = 0 if await is_well() else bad + 1
        if bad in (0, _BAD_ANSWERS):
            await _set_health(servicer, names, well=not bad)


async def _set_health(servicer: Any, names: Sequence[str], *, well: bool) -> None:
    status = health_pb2.HealthCheckResponse
    for name in ["", *names]:
        await servicer.set(name, status.SERVING if well else status.NOT_SERVING)
