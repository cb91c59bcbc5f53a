"""Bounds how much of the time of a process background work takes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import perf_counter

_LONGEST_PAUSE_SECONDS = 30.0


class Pace:
    """Lets work go on for at most a share of the time, above 0 to 1.

    Who works while the machine is busy with other things takes longer, and so pauses longer as well.
    """

    def __init__(
        self,
        share: float,
        *,
        clock: Callable[[], float] = perf_counter,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._share = share
        self._clock = clock
        self._sleep = sleep
        self._counted_seconds = 0.0

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Measures a piece of work, and pauses after it; what pieces within it measured does not count again."""
        begun, counted = self._clock(), self._counted_seconds
        yield
        inner = self._counted_seconds - counted
        worked = self._clock() - begun - inner
        await self._sleep(min(worked / self._share - worked, _LONGEST_PAUSE_SECONDS))
        self._counted_seconds = counted + self._clock() - begun
