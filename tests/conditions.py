"""Waiting for what other processes do: by an event where one tells, by looking, with a deadline, where none does."""

import asyncio
import logging
import os
import time
import types
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

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


async def begun(work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
    """A task of some work, which waits for something now, or has ended."""
    waits = asyncio.Event()

    async def watched() -> T:
        return await _telling(work, waits)

    task = asyncio.create_task(watched())
    task.add_done_callback(lambda _: waits.set())
    await waits.wait()
    return task


@types.coroutine
def _telling(work: Coroutine[Any, Any, T], waits: asyncio.Event) -> Generator[Any, None, T]:
    """Does some work, and sets the event as soon as it waits."""
    go_on: Callable[[], Any] = partial(work.send, None)
    while True:
        try:
            awaited = go_on()
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]
        waits.set()
        try:
            yield awaited
        except BaseException as error:  # noqa: BLE001 - a cancellation, for example: the work has to deal with it
            go_on = partial(work.throw, error)
        else:
            go_on = partial(work.send, None)


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
