"""Looks for something to seal, and seals it, one thing at a time."""

import asyncio
import logging
import random
from time import monotonic
from typing import Protocol

from runstream_server.errors import BucketUnavailable, RunstreamError

logger = logging.getLogger(__name__)

_LONGEST_BACKOFF_SECONDS = 60.0
_SHORTEST_LOOK_SECONDS = 0.05
_LONGEST_LOOK_SECONDS = 5.0
_LONGEST_ROUND_SECONDS = 30.0


def round_seconds(quiet_seconds: float) -> float:
    """How long to wait between two rounds over everything that may be sealed after so long without a change."""
    return min(max(quiet_seconds / 2, _SHORTEST_LOOK_SECONDS), _LONGEST_ROUND_SECONDS)


class SealWork(Protocol):
    """What there is to do. Each method may raise BucketUnavailable."""

    async def look(self) -> None:
        """Looks for something to seal, if it is time."""

    async def seal_one(self) -> bool:
        """Works on one thing; returns False if none is due."""

    async def remove_one(self) -> bool:
        """Removes one object that nobody needs any more; returns False if there is none."""


class SealLoop:
    """Seals and clears away in the background. Any number of processes may do so at once."""

    def __init__(self, work: SealWork, quiet_seconds: float) -> None:
        self._work = work
        self._look_seconds = min(round_seconds(quiet_seconds), _LONGEST_LOOK_SECONDS)
        self._backoff_seconds = 0.0
        self._bucket_time = 0.0

    async def run(self) -> None:
        """Works until cancelled."""
        while True:
            worked = False
            try:
                await self._work.look()
                worked = await self._with_bucket()
            except RunstreamError as error:
                logger.warning("sealing pauses", extra={"reason": error.reason})
            except Exception:
                logger.exception("sealing pauses")
            if not worked:
                await asyncio.sleep(self._look_seconds)

    async def _with_bucket(self) -> bool:
        """Seals or removes something; after trouble with the bucket leaves that alone for a while."""
        if monotonic() < self._bucket_time:
            return False
        try:
            worked = await self._work.seal_one() or await self._work.remove_one()
        except BucketUnavailable:
            self._backoff_seconds = min(max(2 * self._backoff_seconds, 1.0), _LONGEST_BACKOFF_SECONDS)
            self._bucket_time = monotonic() + self._backoff_seconds * random.uniform(0.8, 1.2)
            raise
        if worked:
            self._backoff_seconds = 0.0
        return worked
