"""Works ahead: while one thing is dealt with, the next one is made."""

import asyncio
from collections.abc import AsyncGenerator
from typing import TypeVar

T = TypeVar("T")


async def ahead(items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
    """Yields the same items, each made while the one before is dealt with; closes `items` when it is closed."""
    following = asyncio.create_task(_next(items), name="ahead")
    try:
        while (item := await following) is not None:
            following = asyncio.create_task(_next(items), name="ahead")
            yield item
    finally:
        following.cancel()
        await asyncio.wait([following])
        await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)
