"""Calls from a process that was forked after gRPC had been loaded: they go through a relay, a process of their own."""

import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

from runstream._channel import frames
from runstream._channel.errors import CallFailed, unreachable
from runstream._channel.frames import Frame
from runstream._channel.link import Link

_is_forked = False


def is_forked() -> bool:
    """Whether this process was forked from one that had gRPC loaded, so that it cannot use it."""
    return _is_forked


class RelayChannel:
    """Has of a channel of grpc.aio what stubs need for calls with one request. Its relay is started at the first."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Frame]] = {}
        self._link: asyncio.Task[Link] | None = None

    def unary_unary(
        self, method: str, request_serializer: Any, response_deserializer: Any, *args: object, **kwargs: object
    ) -> Any:
        """A callable for a method with one response."""

        async def call(request: Any, *, timeout: float | None = None) -> Any:  # noqa: ASYNC109
            body = request_serializer(request)
            answer = await self.ask(Frame(frames.CALL, next(self._numbers), method, timeout, body=body))
            if answer.kind == frames.END:
                raise _error(answer)
            return response_deserializer(answer.body)

        return call

    def unary_stream(
        self, method: str, request_serializer: Any, response_deserializer: Any, *args: object, **kwargs: object
    ) -> Any:
        """A callable for a method with a stream of responses."""

        def call(request: Any, *, timeout: float | None = None) -> RelayedStream:
            opening = Frame(frames.OPEN, next(self._numbers), method, timeout, body=request_serializer(request))
            return RelayedStream(self, opening, response_deserializer)

        return call

    def stream_unary(self, method: str, *args: object, **kwargs: object) -> Any:
        """Not available: such calls are made by processes of their own."""
        return _refused(method)

    stream_stream = stream_unary

    async def await_ready(self) -> None:
        """Waits for the first connection of the relay to the services.

        Raises:
            CallFailed: Nobody answers at the address.
        """
        answer = await self.ask(Frame(frames.REACH, next(self._numbers)))
        if answer.code != frames.OK:
            raise CallFailed(unreachable(self._address))

    async def close(self) -> None:
        """Ends the relay; calls under way fail."""
        if self._link is None:
            return
        link, self._link = self._link, None
        await asyncio.gather(link, return_exceptions=True)
        if _succeeded(link):
            await link.result().close()

    async def send(self, frame: Frame) -> None:
        """Sends a frame that is not answered."""
        writer = (await self._linked()).writer
        with suppress(ConnectionError):
            writer.write(frames.encode(frame))
            await writer.drain()

    async def ask(self, frame: Frame) -> Frame:
        """Sends a frame and returns the answer; a caller that is cancelled cancels the call."""
        await self._linked()
        answer: asyncio.Future[Frame] = asyncio.get_running_loop().create_future()
        self._answers[frame.call] = answer
        try:
            await self.send(frame)
            return await answer
        except asyncio.CancelledError:
            self.cancel(frame.call)
            raise
        finally:
            self._answers.pop(frame.call, None)

    def cancel(self, number: int) -> None:
        """Cancels a call, if there is a relay that knows of it."""
        if self._link is not None and self._link.done() and not _is_over(self._link):
            self._link.result().writer.write(frames.encode(Frame(frames.CANCEL, number)))

    async def _linked(self) -> Link:
        if self._link is None or _is_over(self._link):
            self._link = asyncio.create_task(Link.start(self._address, self._deliver), name="runstream-relay")
        return await asyncio.shield(self._link)

    def _deliver(self, frame: Frame | None) -> None:
        """Hands an answer to its caller; None: the relay is gone, and nothing more will be answered."""
        if frame is None:
            for number in list(self._answers):
                self._deliver(Frame(frames.END, number, code="UNAVAILABLE", details="the relay is gone"))
            return
        answer = self._answers.get(frame.call)
        if answer is not None and not answer.done():
            answer.set_result(frame)


class RelayedStream:
    """The responses of a call."""

    def __init__(self, channel: RelayChannel, opening: Frame, deserialize: Callable[[bytes], Any]) -> None:
        self._channel = channel
        self._opening = opening
        self._deserialize = deserialize

    async def __aiter__(self) -> AsyncIterator[Any]:
        await self._channel.send(self._opening)
        while True:
            answer = await self._channel.ask(Frame(frames.READ, self._opening.call))
            if answer.kind == frames.MESSAGE:
                yield self._deserialize(answer.body)
            elif answer.code == frames.OK:
                return
            else:
                raise _error(answer)

    def cancel(self) -> None:
        """Cancels the call; one that has ended stays as it is."""
        self._channel.cancel(self._opening.call)


def _succeeded(link: asyncio.Task[Link]) -> bool:
    return link.done() and not link.cancelled() and link.exception() is None


def _is_over(link: asyncio.Task[Link]) -> bool:
    return link.done() and (not _succeeded(link) or link.result().is_gone)


def _refused(method: str) -> Callable[..., Any]:
    def call(*args: object, **kwargs: object) -> Any:
        raise RuntimeError(f"{method} sends a stream, which a forked process cannot: start it by `spawn` instead")

    return call


def _error(end: Frame) -> Exception:
    import grpc
    from grpc.aio import AioRpcError, Metadata

    trailing = Metadata(("grpc-status-details-bin", end.body)) if end.body else Metadata()
    return AioRpcError(grpc.StatusCode[end.code], Metadata(), trailing, end.details)


def _leave_parent() -> None:
    global _is_forked
    _is_forked = _is_forked or "grpc" in sys.modules


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)
