"""Waiting for what other processes do: by an event where one tells, by looking, with a deadline, where none does."""

import asyncio
import logging
import os
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

SECONDS = 60.0
LOOK_SECONDS = 0.005


async def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds that no event tells."""

    async def holds() -> bool:
        return condition()

    await until_answered(holds)


async def until_answered(condition: Callable[[], Awaitable[bool]], seconds: float = SECONDS) -> None:
    """Waits until the answer to a question is yes, where no event tells, for so many seconds."""
    async with asyncio.timeout(seconds):
        while not await condition():  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(LOOK_SECONDS)


def wait_until(condition: Callable[[], bool]) -> None:
    """Waits, without an event loop, until a condition holds that no event tells."""
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(LOOK_SECONDS)


async def ended(pid: int) -> None:
    """Waits for the end of a process, whoever started it."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        async with asyncio.timeout(SECONDS):
            await event.wait()
    finally:
        loop.remove_reader(descriptor)
        os.close(descriptor)


class Told(logging.Handler):
    """Hears what a logger says. For code that runs on the event loop of the test."""

    def __init__(self) -> None:
        super().__init__()
        self._records: asyncio.Queue[logging.LogRecord] = asyncio.Queue()

    def emit(self, record: logging.LogRecord) -> None:
        self._records.put_nowait(record)

    async def event(self, message: str) -> Mapping[str, Any]:
        """Waits for an event that was not waited for yet, passing over others; returns its fields."""
        async with asyncio.timeout(SECONDS):
            while (record := await self._records.get()).msg != message:
                pass
        return vars(record)


@contextmanager
def hearing(logger: str) -> Iterator[Told]:
    """Hears a logger while the context is open."""
    told = Told()
    logging.getLogger(logger).addHandler(told)
    try:
        yield told
    finally:
        logging.getLogger(logger).removeHandler(told)
