"""What happens for a caller ends when the caller may no longer call, whatever it is doing then."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, cast

import pytest

from runstream_server.auth.errors import TokenUnknown
from runstream_server.auth.known import KnownTokens
from runstream_server.auth.lasting import Lasting, OpenCalls
from runstream_server.auth.model import Caller, Role, Token

CALLER = Caller(Role.READER, Token("0", Role.READER, "space", "", "", datetime.now(UTC), None), b"digest")


class NobodyIsKnown:
    """Has forgotten everybody."""

    async def look_again(self, _: object) -> dict[bytes, Caller]:
        return {}


@pytest.fixture
def calls() -> OpenCalls:
    return OpenCalls(cast(KnownTokens, NobodyIsKnown()), lambda: datetime.now(UTC))


async def not_cancelled() -> None:
    """Waits for the event loop to come round once: a cancellation that is still to come comes here."""
    came_round = asyncio.Event()
    asyncio.get_running_loop().call_soon(came_round.set)
    await came_round.wait()


async def test_what_waits_is_ended_with_what_the_caller_is_told(calls: OpenCalls) -> None:
    begun = asyncio.Event()

    async def last() -> None:
        async with calls.lasting(CALLER):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(last())
    await begun.wait()
    await calls.check()

    with pytest.raises(TokenUnknown):
        await task


async def test_what_ends_by_itself_at_the_same_time_goes_on_undisturbed(calls: OpenCalls) -> None:
    lasting = Lasting(calls, CALLER)
    async with lasting:
        lasting.end(TokenUnknown())
    await not_cancelled()

    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_an_error_at_the_same_time_does_not_hide_why_it_ended(calls: OpenCalls) -> None:
    async def fail() -> None:
        lasting = Lasting(calls, CALLER)
        async with lasting:
            lasting.end(TokenUnknown())
            raise ValueError

    with pytest.raises(TokenUnknown):
        await fail()
    await not_cancelled()


async def test_what_somebody_else_cancels_stays_cancelled(calls: OpenCalls) -> None:
    begun = asyncio.Event()

    async def last() -> None:
        async with calls.lasting(CALLER):
            begun.set()
            await asyncio.Event().wait()

    task: asyncio.Task[Any] = asyncio.create_task(last())
    await begun.wait()
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    await calls.check()

    assert task.cancelled()
