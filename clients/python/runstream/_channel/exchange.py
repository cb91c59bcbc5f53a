"""A call whose two sides send streams of messages, and how it ended: by what the server said.

When the server ends a call while a message is on its way to it, grpc.aio gives the call the status INTERNAL of the
failed sending, in place of the one that the server sent and that may come later (grpc/grpc#36066). Reading by `read` is
over then, so the status behind messages that were not read yet never comes. Here it is read on and waited for.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine
from typing import Any, Final, TypeVar

import grpc

from runstream._channel.errors import CallFailure, read_failure

T = TypeVar("T")

SENT_TOO_LATE: Final = CallFailure("INTERNAL", "Internal error from Core")
TURNS: Final = 3
"""Of the event loop: so many after the last message comes the status of the server, where it comes at all."""


class ExchangeEnded(Exception):
    """A call ended, or was not answered in time; another one may go on."""

    def __init__(self, failure: CallFailure) -> None:
        super().__init__(f"{failure.code}: {failure.message}")
        self.failure = failure


class Exchange:
    """A call of a method with streams in both directions, before anything was sent."""

    def __init__(self, call: Any) -> None:
        self._call = call
        self._responses: AsyncIterator[Any] = aiter(call)
        self._first: CallFailure | None = None
        call.add_done_callback(self._remember)

    async def write(self, request: Any) -> None:
        """Sends a message.

        Raises:
            grpc.aio.AioRpcError: The call has ended, or ends.
            asyncio.InvalidStateError: It had ended before.
        """
        await self._call.write(request)

    async def done_writing(self) -> None:
        """Says that nothing follows."""
        await self._call.done_writing()

    async def read(self) -> Any:
        """The next message, also when sending has failed; `grpc.aio.EOF` after the last one.

        Raises:
            grpc.aio.AioRpcError: The call has ended by an error.
        """
        return await anext(self._responses, grpc.aio.EOF)

    async def attempt(self, action: Awaitable[T]) -> T:
        """What an action on this call returns.

        Raises:
            ExchangeEnded: The call has ended, or there was no answer in time.
        """
        try:
            return await action
        except TimeoutError:
            raise ExchangeEnded(CallFailure("UNAVAILABLE", "the service does not answer")) from None
        except (grpc.aio.AioRpcError, asyncio.InvalidStateError):
            raise ExchangeEnded(await self.ending()) from None
        except asyncio.CancelledError:
            task = asyncio.current_task()  # this is also how grpc.aio tells that the peer cancelled the call
            if (task is not None and task.cancelling()) or not self.done():
                raise
            raise ExchangeEnded(await self.ending()) from None

    def cancel(self) -> None:
        """Ends the call."""
        self._call.cancel()

    def done(self) -> bool:
        """Whether it has ended."""
        return bool(self._call.done())

    async def ending(self) -> CallFailure:
        """How it ended, or will end; to be asked after the last message."""
        await self._call.code()
        failure = self._first or SENT_TOO_LATE
        for _ in range(TURNS):
            if failure != SENT_TOO_LATE:
                break
            await asyncio.sleep(0)
            failure = await self._status()
        return failure

    def _remember(self, _: object) -> None:
        self._first = _at_once(self._status())

    async def _status(self) -> CallFailure:
        details = dict(await self._call.trailing_metadata() or ()).get("grpc-status-details-bin")
        return read_failure((await self._call.code()).name, await self._call.details(), details)


async def end_side(task: "asyncio.Task[None]") -> None:
    """Cancels a task that serves one side of a call, and waits for it.

    Raises:
        Exception: It had failed, other than by the end of the call.
    """
    task.cancel()
    await asyncio.wait({task})
    error = None if task.cancelled() else task.exception()
    if error is not None and not isinstance(error, ExchangeEnded):
        raise error


def _at_once(coroutine: "Coroutine[Any, Any, T]") -> T | None:
    """What a coroutine returns that has nothing to wait for; None if it has."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        result: T = end.value
        return result
    coroutine.close()
    return None
