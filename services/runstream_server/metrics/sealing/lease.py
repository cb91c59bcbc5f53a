"""Keeps the claim on a run while it is sealed, and the work within its share of time."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic

from runstream_server.metrics.sealing.model import SealTask
from runstream_server.metrics.sealing.task_store import SealTaskStore
from runstream_server.sealing.pace import Pace

_RENEWED_AFTER_SECONDS = 60.0


class ClaimLostError(Exception):
    """Somebody else has taken the run to seal it."""


class SealLease:
    """A claim of one attempt to seal a run."""

    def __init__(self, tasks: SealTaskStore, task: SealTask, generation: int, pace: Pace) -> None:
        self._tasks = tasks
        self._pace = pace
        self.task = task
        self.generation = generation
        self._renewed = monotonic()

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """Does one bounded piece of work, pauses, and renews the claim when it is time; raises ClaimLostError."""
        async with self._pace.work():
            yield
        if monotonic() - self._renewed > _RENEWED_AFTER_SECONDS:
            if not await self._tasks.renew(self.task, self.generation):
                raise ClaimLostError(str(self.task.run))
            self._renewed = monotonic()
