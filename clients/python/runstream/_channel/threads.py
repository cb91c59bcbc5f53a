"""Blocking work beside an event loop, and threads while the interpreter exits: from Python 3.12 on it starts none."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def start_thread(thread: threading.Thread) -> bool:
    """Starts a thread; false: the interpreter exits and starts none."""
    try:
        thread.start()
    except RuntimeError:
        return False
    return True


def can_start_threads() -> bool:
    """Whether the interpreter still starts threads."""
    return start_thread(threading.Thread(target=int, name="runstream-probe", daemon=True))


async def in_thread(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Runs `function` on a daemon thread and returns its result.

    Other than the threads of an executor it never keeps an interpreter from exiting, and works while one exits: there
    the work is done on the spot where threads cannot be started any more.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(set_outcome: Callable[..., None], outcome: object) -> None:
        if not future.done():
            set_outcome(outcome)

    def work() -> None:
        try:
            outcome, set_outcome = function(*args, **kwargs), future.set_result
        except BaseException as error:  # noqa: BLE001 - handed to whoever awaits
            outcome, set_outcome = error, future.set_exception  # type: ignore[assignment]
        if not loop.is_closed():
            loop.call_soon_threadsafe(settle, set_outcome, outcome)

    if not start_thread(threading.Thread(target=work, name="runstream-work", daemon=True)):
        work()
    return await future


async def to_its_end(work: Coroutine[Any, Any, object]) -> None:
    """Waits for work that a thread does, also where this is cancelled: afterwards nothing is written any more."""
    doing = asyncio.create_task(work)
    try:
        await asyncio.shield(doing)
    finally:
        await asyncio.wait({doing})
