"""One connection to the services per process, event loop and address."""

import asyncio
import itertools
import os
import uuid
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, cast

from google.protobuf.message import Message

from runstream._channel.address import OFFLINE
from runstream._channel.authorized import AuthorizedChannel, open_channel
from runstream._channel.backoff import backoff_seconds
from runstream._channel.errors import CallFailed, CallFailure, read_failure, to_exception, unreachable
from runstream._channel.forked import RelayChannel, is_forked
from runstream._channel.tasks import end_tasks
from runstream._channel.threads import can_start_threads
from runstream._channel.tokens import Credential
from runstream.exceptions import RunEnvironmentException

if TYPE_CHECKING:
    import grpc

    from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceAsyncStub
    from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from runstream.api.logs.v1.log_service_pb2_grpc import LogServiceAsyncStub
    from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceAsyncStub
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

Request = TypeVar("Request", bound=Message, contravariant=True)
Response = TypeVar("Response", bound=Message, covariant=True)

_Key: TypeAlias = "tuple[str, Credential | None]"

DEFAULT_TIMEOUT = 15.0
CONNECT_SECONDS = 4.0
REFUSED_SECONDS = 1.0
LONGEST_PAUSE_SECONDS = 3.0
"""Between two attempts, unless the service asks for more: services that restart are found soon after they are back."""


class UnaryMethod(Protocol[Request, Response]):
    """A method of a stub: one request, one response."""

    def __call__(self, request: Request, *, timeout: float | None = None) -> Awaitable[Response]: ...


class StreamMethod(Protocol[Request, Response]):
    """A method of a stub: one request, a stream of responses."""

    def __call__(self, request: Request, *, timeout: float | None = None) -> "ResponseStream[Response]": ...


class ClientStreamMethod(Protocol[Request, Response]):
    """A method of a stub: a stream of requests, one response."""

    def __call__(self) -> "RequestStream[Request, Response]": ...


class RequestStream(Protocol[Request, Response]):
    """The requests of a call under way; awaiting it gives the response."""

    async def write(self, request: Request, /) -> None: ...

    async def done_writing(self) -> None: ...

    def cancel(self) -> object: ...

    def __await__(self) -> Generator[Any, None, Response]: ...


class ResponseStream(Protocol[Response]):
    """The responses of a call under way."""

    def __aiter__(self) -> AsyncIterator[Response]: ...

    def cancel(self) -> object: ...


class Connection:
    """A channel to the services at one address, with a typed stub per service.

    It belongs to the event loop it was opened on and is never used across a fork: in a process that was forked after
    gRPC had been loaded, or that exits and cannot start the threads of gRPC any more, calls go through a relay. Use
    `Connection.to`.
    """

    runs: "RunHistoryServiceAsyncStub"
    metrics: "MetricsServiceAsyncStub"
    artifacts: "ArtifactServiceAsyncStub"
    logs: "LogServiceAsyncStub"
    jobs: "JobServiceAsyncStub"

    def __init__(self, address: str, credential: Credential | None = None) -> None:
        """Calls carry the token of `credential`; default: that of the surroundings."""
        self.address = address
        self.credential = credential or Credential.ambient(address)
        self._channel: Any = RelayChannel(address) if needs_relay() else open_channel(address, self.credential)
        self._reached: asyncio.Task[None] | None = None
        self._add_stubs()

    @classmethod
    def to(cls, address: str, credential: Credential | None = None) -> "Connection":
        """The connection of this process and of the running event loop to `address`, opened at the first use.

        There is one for each `credential`, and one that shows the token of the surroundings.
        """
        if address == OFFLINE:
            from runstream._journal.connection import OfflineConnection

            return cast("Connection", OfflineConnection.shared())
        connections = _connections.setdefault(asyncio.get_running_loop(), {})
        key = address, credential
        if key not in connections:
            connections[key] = cls(address, credential)
        return connections[key]

    @classmethod
    async def drop(cls, address: str, credential: Credential) -> None:
        """Closes the connection to `address` with a `credential`, if there is one."""
        connection = _connections.get(asyncio.get_running_loop(), {}).pop((address, credential), None)
        if connection is not None:
            await connection.close()

    @property
    def channel(self) -> "grpc.aio.Channel":
        """The channel, for streams with a protocol of their own; a forked process has none for them."""
        channel: grpc.aio.Channel = self._channel
        return channel

    async def call(
        self,
        method: UnaryMethod[Request, Response],
        request: Request,
        *,
        timeout: float = DEFAULT_TIMEOUT,  # noqa: ASYNC109
        retry: bool = True,
    ) -> Response:
        """Calls `method` and returns its response, `timeout` seconds at most from now.

        A call that found the services away or too busy is repeated for as long as that, unless `retry` is false: pass
        that for methods that are not idempotent. An address that nobody has answered at yet fails within seconds. A
        request with an empty `request_id` is given one, so creates are idempotent too.

        Raises:
            AzureMLException: As the status of the call says; see `to_exception`.
        """
        _identify(request)
        deadline = asyncio.get_running_loop().time() + timeout
        with self._translating():
            await self._reach()
            return await self._attempt(method, request, deadline, retry=retry)

    async def stream(
        self,
        method: StreamMethod[Request, Response],
        request: Request,
        *,
        timeout: float | None = None,  # noqa: ASYNC109
    ) -> AsyncIterator[Response]:
        """Calls `method` and yields its responses; the call is cancelled when the caller stops early. Never retried.

        Raises:
            AzureMLException: As the status of the call says; see `to_exception`.
        """
        with self._translating():
            await self._reach()
            call = method(request, timeout=timeout)
            try:
                async for response in call:
                    yield response
            finally:
                call.cancel()

    async def send_stream(
        self, method: ClientStreamMethod[Request, Response], requests: AsyncIterator[Request]
    ) -> Response:
        """Calls `method` with a stream of requests and returns its response. Never retried, without a deadline.

        Raises:
            AzureMLException: As the status of the call says; see `to_exception`.
            RunEnvironmentException: This process was forked, and cannot send streams.
        """
        if isinstance(self._channel, RelayChannel):
            raise RunEnvironmentException("A forked process cannot send streams to the services; start it by `spawn`.")
        with self._translating():
            await self._reach()
            call = method()
            try:
                with suppress(asyncio.InvalidStateError):  # the services answered before they had everything
                    async for request in requests:
                        await call.write(request)
                    await call.done_writing()
                return await call
            finally:
                call.cancel()

    @contextmanager
    def _translating(self) -> Iterator[None]:
        """Raises the failure of a call as the exception that users know."""
        try:
            yield
        except CallFailed as error:
            raise to_exception(error.failure, self.address, self.credential.token.source) from None
        except _rpc_error() as error:
            raise to_exception(_failure(error), self.address, self.credential.token.source) from None

    async def close(self) -> None:
        """Closes the channel; calls under way are cancelled."""
        if self._reached is not None:
            await end_tasks(self._reached)
        await self._channel.close()

    async def _attempt(
        self, method: UnaryMethod[Request, Response], request: Request, deadline: float, *, retry: bool
    ) -> Response:
        clock = asyncio.get_running_loop().time
        for attempt in itertools.count():
            token = self.credential.token
            try:
                return await method(request, timeout=max(deadline - clock(), 0.001))
            except _rpc_error() as error:
                failure = _failure(error)
            if failure.code == "UNAUTHENTICATED" and self.credential.replaces(token):
                continue
            pause = _pause(failure, attempt)
            if not retry or not failure.is_transient or clock() + pause > deadline:
                break
            await asyncio.sleep(pause)
        raise CallFailed(failure)

    async def _reach(self) -> None:
        """Waits for the first connection, so that an address that nobody answers at is found out quickly."""
        if self._reached is None or (self._reached.done() and not _succeeded(self._reached)):
            self._reached = asyncio.create_task(self._await_ready(), name="runstream-connect")
        await asyncio.shield(self._reached)

    async def _await_ready(self) -> None:
        if isinstance(self._channel, RelayChannel):
            await self._channel.await_ready()
        else:
            await await_ready(self._channel, self.address)

    def _add_stubs(self) -> None:
        from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceStub
        from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceStub
        from runstream.api.logs.v1.log_service_pb2_grpc import LogServiceStub
        from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
        from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub

        self.runs = cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(self._channel))
        self.metrics = cast("MetricsServiceAsyncStub", MetricsServiceStub(self._channel))
        self.artifacts = cast("ArtifactServiceAsyncStub", ArtifactServiceStub(self._channel))
        self.logs = cast("LogServiceAsyncStub", LogServiceStub(self._channel))
        self.jobs = cast("JobServiceAsyncStub", JobServiceStub(self._channel))


async def close_connections() -> None:
    """Closes the connections of the running event loop."""
    for connection in _connections.pop(asyncio.get_running_loop(), {}).values():
        await connection.close()


def needs_relay() -> bool:
    """Whether gRPC cannot be used in this process."""
    return is_forked() or not can_start_threads()


async def await_ready(channel: AuthorizedChannel, address: str) -> None:
    """Waits for the first connection of `channel` to `address`.

    Raises:
        CallFailed: Nobody answers there.
    """
    from grpc import ChannelConnectivity as State

    try:
        if await _await_state(channel, {State.READY, State.TRANSIENT_FAILURE}, CONNECT_SECONDS) is not State.READY:
            await _await_state(channel, {State.READY}, REFUSED_SECONDS)
    except TimeoutError:
        raise CallFailed(unreachable(address)) from None


async def _await_state(
    channel: AuthorizedChannel, wanted: "set[grpc.ChannelConnectivity]", seconds: float
) -> "grpc.ChannelConnectivity":
    async with asyncio.timeout(seconds):
        state = channel.get_state(try_to_connect=True)
        while state not in wanted:
            await channel.wait_for_state_change(state)
            state = channel.get_state(try_to_connect=True)
        return state


def _succeeded(task: "asyncio.Task[None]") -> bool:
    return not task.cancelled() and task.exception() is None


def _identify(request: Message) -> None:
    field = request.DESCRIPTOR.fields_by_name.get("request_id")
    if field is not None and not getattr(request, field.name):
        setattr(request, field.name, str(uuid.uuid4()))


def _pause(failure: CallFailure, attempt: int) -> float:
    return max(min(backoff_seconds(attempt), LONGEST_PAUSE_SECONDS), failure.retry_seconds or 0.0)


def _rpc_error() -> "type[grpc.aio.AioRpcError]":
    import grpc.aio

    return grpc.aio.AioRpcError


def _failure(error: "grpc.aio.AioRpcError") -> CallFailure:
    details = dict(cast("Callable[[], Any]", error.trailing_metadata)() or ()).get("grpc-status-details-bin")
    return read_failure(error.code().name, error.details(), details)


def _leave_parent() -> None:
    """Forgets the connections of the parent without destroying them: gRPC cannot do even that in a forked process, and
    aborts it, at its end too when the interpreter clears everything.
    """
    if not _connections:
        return
    import ctypes

    ctypes.pythonapi.Py_IncRef(ctypes.py_object(dict(_connections.items())))
    _connections.clear()


_connections: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, dict[_Key, Connection]]" = (
    weakref.WeakKeyDictionary()
)

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)
