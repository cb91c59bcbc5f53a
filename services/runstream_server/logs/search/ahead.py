"""Works ahead: while one thing is dealt with, the next ones are made."""

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _End:
    """Nothing more comes, maybe because of an error."""

    error: Exception | None


async def ahead(items: AsyncGenerator[T, None], most: int) -> AsyncGenerator[T, None]:
    """Yields the same items, up to `most` and one made while the one before is dealt with; closes `items` at last."""
    made: asyncio.Queue[T | _End] = asyncio.Queue(most)
    making = asyncio.create_task(_make(items, made), name="ahead")
    try:
        while not isinstance(item := await made.get(), _End):
            yield item
        if item.error is not None:
            raise item.error
    finally:
        making.cancel()
        await asyncio.wait([making])


async def _make(items: AsyncGenerator[T, None], made: "asyncio.Queue[T | _End]") -> None:
    end = _End(None)
    try:
        async with aclosing(items):
            async for item in items:
                await made.put(item)
    except Exception as error:  # noqa: BLE001 - raised where the items are taken
        end = _End(error)
    await made.put(end)


async def in_threads(items: AsyncGenerator[T, None], work: Callable[[T], R], at_once: int) -> AsyncGenerator[R, None]:
    """Yields what `work` makes of items, in their order; works on `at_once` of them at a time, each in a thread."""
    under_way: deque[asyncio.Task[R]] = deque()
    try:
        async with aclosing(items):
            async for item in items:
                under_way.append(asyncio.create_task(asyncio.to_thread(work, item), name="ahead-in-thread"))
                if len(under_way) == at_once:
                    yield await under_way.popleft()
        while under_way:
            yield await under_way.popleft()
    finally:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
