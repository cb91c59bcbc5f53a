"""A clock that a test sets, for what acts when some time has passed."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

T = TypeVar("T")

_SECONDS = 20.0
_SECOND = timedelta(seconds=1)


class SetClock:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = datetime(2030, 1, 1, 12, tzinfo=UTC)
        self._looked_at = asyncio.Event()

    def __call__(self) -> datetime:
        self._looked_at.set()
        return self.now

    async def until(self, done: "asyncio.Future[T]", wake: Callable[[], None]) -> T:
        """What some work returns that looks at the clock whenever it is woken: each time a second has passed."""
        async with asyncio.timeout(_SECONDS):
            while not done.done():
                self.now += _SECOND
                self._looked_at.clear()
                wake()
                looking = asyncio.create_task(self._looked_at.wait())
                awaited: set[asyncio.Future[Any]] = {done, looking}
                await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
                looking.cancel()
        return done.result()
