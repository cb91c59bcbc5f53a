"""Keeps a claim while something is sealed, and the work within its share of time."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from time import monotonic

from runstream_server.sealing.pace import Pace

_RENEWED_AFTER_SECONDS = 60.0


class ClaimLostError(Exception):
    """Somebody else has taken what was to be sealed."""


class Lease:
    """The claim of one attempt to seal something."""

    def __init__(self, name: str, renew: Callable[[], Awaitable[bool]], pace: Pace) -> None:
        """`renew` makes the claim last again, and returns False if it was lost."""
        self._name = name
        self._renew = renew
        self._pace = pace
        self._renewed = monotonic()

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """Does one bounded piece of work, pauses, and renews the claim when it is time; raises ClaimLostError."""
        async with self._pace.work():
            yield
        if monotonic() - self._renewed > _RENEWED_AFTER_SECONDS:
            if not await self._renew():
                raise ClaimLostError(self._name)
            self._renewed = monotonic()
