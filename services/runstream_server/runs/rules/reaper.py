"""Looks after runs that nobody looks after, silent and overdue ones, and forgets old requests."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

from runstream_server.postgres import Hints
from runstream_server.runs.rules.feed import TOPIC
from runstream_server.runs.store.heartbeats import HeartbeatStore
from runstream_server.runs.store.requests import RequestStore

logger = logging.getLogger(__name__)

HEARTBEAT_LIFETIME = timedelta(seconds=120)
"""How long a heartbeat counts."""

REQUEST_LIFETIME = timedelta(days=2)
"""How long a request is remembered."""

_INTERVAL_SECONDS = 10.0


class Reaper:
    """Safe in any number of processes at once."""

    def __init__(
        self, heartbeats: HeartbeatStore, requests: RequestStore, hints: Hints, now: Callable[[], datetime]
    ) -> None:
        self._heartbeats = heartbeats
        self._requests = requests
        self._hints = hints
        self._now = now
        self._heard_since = datetime.min.replace(tzinfo=UTC)

    async def run_forever(self) -> None:
        """Makes a pass about every ten seconds."""
        self._heard_since = self._now()  # nobody may have taken heartbeats before
        while True:
            await asyncio.sleep(_INTERVAL_SECONDS * random.uniform(0.8, 1.2))
            try:
                await self.make_pass()
            except Exception as error:  # noqa: BLE001 - whatever it is, the next pass may do better
                self._heard_since = self._now()  # whatever kept us from the store kept heartbeats from it too
                logger.warning("reaper pass failed", extra={"error": repr(error)})

    async def make_pass(self) -> None:
        """Marks silent runs NotResponding, cancels overdue ones, forgets old requests."""
        now = self._now()
        if now >= self._heard_since + HEARTBEAT_LIFETIME:
            await self._until_none(lambda: self._heartbeats.mark_lapsed(now - HEARTBEAT_LIFETIME, now))
        await self._until_none(lambda: self._heartbeats.cancel_overdue(now))
        await self._requests.prune(now - REQUEST_LIFETIME)

    async def _until_none(self, take: Callable[[], Awaitable[Sequence[str]]]) -> None:
        while workspaces := await take():
            self._hints.publish(TOPIC, set(workspaces))
