"""Blocking work beside an event loop."""

import asyncio
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


async def in_thread(function: Callable[..., T], *args: object) -> T:
    """Runs `function` on a daemon thread and returns its result.

    Other than the threads of an executor it never keeps an interpreter from exiting.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[..., None], outcome: object) -> None:
        if not future.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            outcome, set_outcome = function(*args), future.set_result
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits
            outcome, set_outcome = error, future.set_exception  # type: ignore[assignment]
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, set_outcome, outcome)

    threading.Thread(target=work, name="runstream-work", daemon=True).start()
    return await future
