"""The one wrapper around every call: request id, limits, deadline, errors, metrics and access log."""

import asyncio
import logging
import random
import re
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from inspect import isasyncgenfunction, iscoroutinefunction
from typing import Any, NamedTuple, NoReturn, TypeAlias, cast

import grpc
from google.protobuf.message import DecodeError

from runstream_server.errors import DeadlineExceeded, Draining, Interrupted, MalformedMessage, RunstreamError
from runstream_server.rpc.guarding import Answer, Guard, guard_answers, guard_message, guard_requests
from runstream_server.rpc.limits import CallLimit
from runstream_server.rpc.status import STATUS_DETAILS, status_code, status_details, status_message
from runstream_server.telemetry import RpcMetrics, request_id

REQUEST_ID = "x-request-id"

logger = logging.getLogger(__name__)

Handler: TypeAlias = "grpc.RpcMethodHandler[Any, Any]"
"""What serves one method, its kind and its serializers included."""

_Context: TypeAlias = "grpc.aio.ServicerContext[Any, Any]"

_REQUEST_ID_FORM = re.compile(r"[A-Za-z0-9._\-]{1,64}")
_SLOW_SECONDS = 1.0
_CODES = {code.value[0]: code for code in grpc.StatusCode}


@dataclass(frozen=True)
class CallPolicy:
    """What the wrapper of one method needs to know."""

    method: str
    """The full method: `/package.Service/Method`."""

    limit: CallLimit
    """The limit of the class of the method."""

    max_seconds: float | None
    """How long a call may take; None for streams."""

    draining: asyncio.Event
    """Set when the server stops."""

    access_log: str
    """Which calls are logged: `none`, `errors` or `all`."""

    deserialize: Callable[[bytes], Any] | None = None
    """Reads the requests; None: the generated code does."""

    guard: Guard | None = None
    """Decides who may call; None: everybody."""


def wrap(handler: Handler, policy: CallPolicy) -> Handler:
    """Returns `handler` with everything around it that all calls have in common."""
    metrics = RpcMetrics(policy.method)
    if handler.response_streaming:
        inner = handler.stream_stream if handler.request_streaming else handler.unary_stream
        serve = _serve_stream(_guarded(_written(inner), handler, policy), policy, metrics)
        make = (
            grpc.stream_stream_rpc_method_handler if handler.request_streaming else grpc.unary_stream_rpc_method_handler
        )
    else:
        inner = handler.stream_unary if handler.request_streaming else handler.unary_unary
        serve = _serve_message(_guarded(_awaited(inner), handler, policy), policy, metrics)
        make = (
            grpc.stream_unary_rpc_method_handler if handler.request_streaming else grpc.unary_unary_rpc_method_handler
        )
    deserialize = _forgiving(policy.deserialize or handler.request_deserializer)
    return make(serve, _sized(deserialize) if handler.request_streaming else deserialize, handler.response_serializer)


def _guarded(answer: Answer, handler: Handler, policy: CallPolicy) -> Answer:
    if policy.guard is None:
        return answer
    guarded = guard_answers if handler.response_streaming else guard_message
    guarded = guard_requests if handler.request_streaming else guarded
    return guarded(answer, policy.guard, handler.request_deserializer)


def _forgiving(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any] | None:
    """Makes an error the message where there is none in the bytes: gRPC itself answers UNKNOWN to them."""
    if deserialize is None:
        return None

    def read(data: bytes) -> Any:
        try:
            return deserialize(data)
        except DecodeError as error:
            return MalformedMessage(str(error).rpartition(": ")[2])

    return read


class _Received(NamedTuple):
    """A message of a stream, and how large it was: to ask the message itself would serialize it again."""

    message: Any
    size_bytes: int


def _sized(deserialize: Callable[[bytes], Any] | None) -> Callable[[bytes], Any]:
    def read(data: bytes) -> _Received:
        return _Received(deserialize(data) if deserialize else data, len(data))

    return read


def _readable(message: Any) -> Any:
    if isinstance(message, MalformedMessage):
        raise message
    return message


def _awaited(inner: Any) -> Answer:
    if not iscoroutinefunction(inner):
        raise TypeError(f"{inner} must be a coroutine function")
    return inner  # type: ignore[no-any-return]


def _written(inner: Any) -> Answer:
    """Makes a writing coroutine of an async generator: garbage collection may close one that waits in `yield`."""
    if not isasyncgenfunction(inner):
        return _awaited(inner)

    async def write_all(request: Any, context: _Context) -> None:
        responses: AsyncGenerator[Any, None] = inner(request, context)
        async with aclosing(responses):
            async for response in responses:
                await context.write(response)

    return write_all


def _serve_message(inner: Answer, policy: CallPolicy, metrics: RpcMetrics) -> Answer:
    async def serve(request: Any, context: _Context) -> Any:
        async with _Call(context, policy, metrics):
            seconds = _seconds(context, policy)
            if hasattr(request, "__aiter__"):
                context = _CountingContext(context, metrics)  # type: ignore[assignment]
                request = context.requests(request)  # type: ignore[attr-defined]
            if seconds is None:
                return await inner(_readable(request), context)
            async with asyncio.timeout(seconds):
                return await inner(_readable(request), context)

    return serve


def _serve_stream(inner: Answer, policy: CallPolicy, metrics: RpcMetrics) -> Answer:
    async def serve(request: Any, context: _Context) -> None:
        async with _Call(context, policy, metrics):
            counted = _CountingContext(context, metrics)
            await inner(counted.requests(request), counted)

    return serve


def _seconds(context: _Context, policy: CallPolicy) -> float | None:
    """How long we let a call take; None where its own deadline, at which gRPC cancels it, comes first."""
    remaining = context.time_remaining()
    if policy.max_seconds is None or remaining is None:
        return policy.max_seconds
    return None if remaining <= policy.max_seconds else policy.max_seconds


class _Call:
    """Surrounds one call. Leaves by returning, by aborting the call, or with the peer's own cancellation.

    A class, since a generator as context costs several times as much, for each call.
    """

    __slots__ = ("_begun", "_context", "_identifier", "_is_admitted", "_metrics", "_policy", "_token")

    def __init__(self, context: _Context, policy: CallPolicy, metrics: RpcMetrics) -> None:
        self._context = context
        self._policy = policy
        self._metrics = metrics

    async def __aenter__(self) -> None:
        self._begun = time.perf_counter()
        self._identifier = _request_id(self._context)
        self._token = request_id.set(self._identifier)
        self._is_admitted = False
        self._metrics.started()
        try:
            if self._policy.draining.is_set():
                raise Draining
            self._policy.limit.enter()
            self._is_admitted = True
        except RunstreamError as error:
            await self.__aexit__(type(error), error, error.__traceback__)

    async def __aexit__(self, _: object, error: BaseException | None, traceback: object) -> bool:
        """Returns whether the error was dealt with."""
        if self._is_admitted:
            self._policy.limit.leave()
        code = grpc.StatusCode.OK if error is None else self._code(error)
        try:
            return error is not None and await self._end(code, error)
        finally:
            request_id.reset(self._token)
            self._note(code)

    def _code(self, error: BaseException) -> grpc.StatusCode:
        """What the caller gets to see."""
        if isinstance(error, grpc.aio.AbortError):
            return _CODES.get(cast(int, self._context.code()), grpc.StatusCode.UNKNOWN)
        if isinstance(error, asyncio.CancelledError):
            # If nobody cancelled the call, the caller would wait for ever without a status of ours.
            return grpc.StatusCode.CANCELLED if _cancelled_from_outside(error) else grpc.StatusCode.UNAVAILABLE
        if isinstance(error, TimeoutError):
            return grpc.StatusCode.DEADLINE_EXCEEDED
        if _peer_is_gone(error):
            return grpc.StatusCode.CANCELLED
        known = _known(error)
        return status_code(known) if known else grpc.StatusCode.INTERNAL

    async def _end(self, code: grpc.StatusCode, error: BaseException) -> bool:
        """Aborts the call with our status, unless it has one. False: the error goes on; True: nobody is there."""
        if isinstance(error, grpc.aio.AbortError) or _cancelled_from_outside(error):
            return False
        if code is grpc.StatusCode.CANCELLED:
            return True
        if isinstance(error, asyncio.CancelledError):
            await self._abort(Interrupted())
        if isinstance(error, TimeoutError):
            await self._abort(DeadlineExceeded())
        if known := _known(error):
            await self._abort(known)
        logger.error("call failed", extra={"method": self._policy.method}, exc_info=error)
        message = f"internal error; request id {self._identifier}"
        await self._context.abort(code, message, ((REQUEST_ID, self._identifier),))
        return True

    async def _abort(self, error: RunstreamError) -> NoReturn:
        await self._context.abort(
            status_code(error),
            status_message(error),
            ((STATUS_DETAILS, status_details(error)), (REQUEST_ID, self._identifier)),
        )

    def _note(self, code: grpc.StatusCode) -> None:
        policy = self._policy
        seconds = time.perf_counter() - self._begun
        self._metrics.ended(code, seconds)
        if policy.access_log == "all" or (policy.access_log == "errors" and _notable(code, seconds, policy)):
            _log(policy, self._identifier, code, seconds)


def _known(error: BaseException) -> RunstreamError | None:
    """The error to tell the caller: the first of ours in what a task group collected."""
    if isinstance(error, RunstreamError):
        return error
    if isinstance(error, BaseExceptionGroup):
        matching, rest = error.split(RunstreamError)
        if matching is not None and rest is None:
            return next(_leaves(matching))
    return None


def _peer_is_gone(error: BaseException) -> bool:
    """Whether a message could not be written, or whatever else the core refuses to do for a call that is over."""
    if isinstance(error, BaseExceptionGroup):
        return error.split(grpc.aio.InternalError)[1] is None
    return isinstance(error, grpc.aio.InternalError)


def _leaves(group: BaseExceptionGroup[RunstreamError]) -> Iterator[RunstreamError]:
    for error in group.exceptions:
        if isinstance(error, BaseExceptionGroup):
            yield from _leaves(error)
        else:
            yield error


def _cancelled_from_outside(error: BaseException) -> bool:
    task = asyncio.current_task()
    return isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling() > 0


def _request_id(context: _Context) -> str:
    for key, value in context.invocation_metadata() or ():
        if key == REQUEST_ID and isinstance(value, str) and _REQUEST_ID_FORM.fullmatch(value):
            return value
    return f"{random.getrandbits(128):032x}"


def _notable(code: grpc.StatusCode, seconds: float, policy: CallPolicy) -> bool:
    return code not in (grpc.StatusCode.OK, grpc.StatusCode.CANCELLED) or (
        policy.max_seconds is not None and seconds > _SLOW_SECONDS
    )


def _log(policy: CallPolicy, identifier: str, code: grpc.StatusCode, seconds: float) -> None:
    logger.info(
        "call",
        extra={
            "method": policy.method,
            "code": code.name,
            "milliseconds": round(seconds * 1000, 1),
            "request_id": identifier,
        },
    )


class _CountingContext:
    """A servicer context that counts the messages of a stream."""

    received_bytes = 0
    """How large the message was that was read last."""

    def __init__(self, context: _Context, metrics: RpcMetrics) -> None:
        self._context = context
        self._metrics = metrics

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        received = await self._context.read()
        return received if received is grpc.aio.EOF else self._take(received)

    async def write(self, message: Any) -> None:
        await self._context.write(message)
        self._metrics.sent()

    def requests(self, request: Any) -> Any:
        return self._counted(request) if hasattr(request, "__aiter__") else _readable(request)

    async def _counted(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for received in requests:
            yield self._take(received)

    def _take(self, received: _Received) -> Any:
        self._metrics.received()
        self.received_bytes = received.size_bytes
        return _readable(received.message)
