"""Asks about each call whether it may be made, where that is to be asked."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeAlias

import grpc
from google.protobuf.message import DecodeError

from runstream_server.errors import MalformedMessage

Answer: TypeAlias = Callable[[Any, Any], Awaitable[Any]]
Parse: TypeAlias = Callable[[bytes], Any]


class Visit(Protocol):
    """One call whose caller is known."""

    async def check(self, request: Any) -> None:
        """Raises what the caller is told if it may not ask this. May confine the request to what it may ask."""

    def lasting(self) -> AbstractAsyncContextManager[None]:
        """Ends what happens in the context, with what the caller is told, soon after it may no longer call."""


class Guard(Protocol):
    """Decides about the calls of one method."""

    async def admit(self, context: Any) -> Visit:
        """Finds out who calls; raises what the caller is told if it may not call at all."""


Guards: TypeAlias = Callable[[str], Guard | None]
"""Gives the guard of a full method; None where everybody may call."""


def guard_message(answer: Answer, guard: Guard, parse: Parse | None) -> Answer:
    """Asks `guard` before a call without streams is answered.

    `parse` reads a message that its reader left as bytes; for the others as well.
    """

    async def guarded(request: Any, context: Any) -> Any:
        visit = await guard.admit(context)
        await visit.check(_parsed(request, parse))
        return await answer(request, context)

    return guarded


def guard_answers(answer: Answer, guard: Guard, parse: Parse | None) -> Answer:
    """Asks `guard` before a call is answered by a stream, and again while that lasts."""

    async def guarded(request: Any, context: Any) -> Any:
        visit = await guard.admit(context)
        await visit.check(_parsed(request, parse))
        async with visit.lasting():
            return await answer(request, context)

    return guarded


def guard_requests(answer: Answer, guard: Guard, parse: Parse | None) -> Answer:
    """Asks `guard` when the first message of a call has come, and again while that lasts."""

    async def guarded(requests: Any, context: Any) -> Any:
        visit = await guard.admit(context)
        checked = _FirstChecked(context, visit, parse)
        async with visit.lasting():
            return await answer(checked.requests(requests), checked)

    return guarded


class _FirstChecked:
    """A servicer context that hands out the first message only when it was checked.

    Methods refuse later messages that would name anything else.
    """

    def __init__(self, context: Any, visit: Visit, parse: Parse | None) -> None:
        self._context = context
        self._visit = visit
        self._parse = parse
        self._is_checked = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)

    async def read(self) -> Any:
        message = await self._context.read()
        if message is not grpc.aio.EOF:
            await self._check(message)
            self.read = self._context.read  # type: ignore[method-assign]  # nothing is to be done for those that follow
        return message

    async def requests(self, requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
        async for message in requests:
            if not self._is_checked:
                await self._check(message)
            yield message

    async def _check(self, message: Any) -> None:
        await self._visit.check(_parsed(message, self._parse))
        self._is_checked = True


def _parsed(message: Any, parse: Parse | None) -> Any:
    if parse is None or not isinstance(message, bytes):
        return message
    try:
        return parse(message)
    except DecodeError as error:
        raise MalformedMessage(str(error).rpartition(": ")[2]) from None
