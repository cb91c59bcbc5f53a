"""Ends streams when the process stops, whatever they wait for: Postgres, the bucket, or something to happen."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any, TypeVar

from runstream_server.errors import Draining

T = TypeVar("T")


class Drain:
    """Knows the streams that are to be ended."""

    def __init__(self, draining: asyncio.Event) -> None:
        """`draining` is set when the process stops."""
        self._draining = draining
        self._stops: set[asyncio.Future[None]] = set()

    async def run(self) -> None:
        """Waits until the process stops, and ends all streams."""
        await self._draining.wait()
        for stop in self._stops:
            stop.set_result(None)

    async def guarded(self, items: AsyncGenerator[T, None]) -> AsyncGenerator[T, None]:
        """Yields the same items; raises Draining when the process stops, and closes `items` in any case."""
        stop: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._stops.add(stop)
        try:
            while not self._draining.is_set():
                following = asyncio.create_task(_next(items), name="guarded")
                try:
                    waited: set[asyncio.Future[Any]] = {following, stop}
                    await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not following.done():
                        following.cancel()
                        await asyncio.wait({following})
                if following.cancelled():
                    break
                item = following.result()
                if item is None:
                    return
                yield item
            raise Draining
        finally:
            self._stops.discard(stop)
            await items.aclose()


async def _next(items: AsyncGenerator[T, None]) -> T | None:
    return await anext(items, None)
