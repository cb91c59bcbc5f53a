"""What proxies have in common: two connections, and what is said on each is passed on to the other."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager, suppress
from typing import Any


@asynccontextmanager
async def sides() -> AsyncIterator[list[asyncio.StreamWriter]]:
    """Connections that are closed at the end of the context, whatever became of them."""
    opened: list[asyncio.StreamWriter] = []
    try:
        with suppress(OSError):
            yield opened
    finally:
        for side in opened:
            side.close()
            with suppress(OSError):
                await side.wait_closed()


async def until_one_ends(*ways: Coroutine[Any, Any, None]) -> None:
    """Passes on in several ways until one of them ends."""
    tasks = [asyncio.create_task(way) for way in ways]
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
