"""Bounds how much of the time of a process background work takes."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

_LONGEST_PAUSE_SECONDS = 30.0


class Pace:
    """Lets work go on for at most a share of the time, above 0 to 1.

    Who works while the machine is busy with other things takes longer, and so pauses longer as well.
    """

    def __init__(self, share: float) -> None:
        self._share = share

    @asynccontextmanager
    async def work(self) -> AsyncIterator[None]:
        """Measures a piece of work, and pauses after it."""
        begun = perf_counter()
        try:
            yield
        finally:
            worked = perf_counter() - begun
        await asyncio.sleep(min(worked / self._share - worked, _LONGEST_PAUSE_SECONDS))
