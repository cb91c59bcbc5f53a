"""Tells a run what was lost on the way to it."""

import asyncio
import contextlib
import logging
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._spool.events import EventReader, Refusal, Warned, append_event
from runstream._spool.values import cut
from runstream.api.runs.v1.run_history_service_pb2 import AddWarningsRequest
from runstream.api.runs.v1.run_pb2 import RunWarning
from runstream.exceptions import AuthenticationException, AzureMLException, ServiceException

SOURCE: Final = "metrics"
MAX_WARNINGS: Final = 100
"""Of one spool; another one says that there is more."""
MAX_METRIC_CHARACTERS: Final = 100
"""A warning has room for 300."""

TRANSIENT: Final = frozenset({429, 503})

_logger = logging.getLogger(__name__)


@dataclass
class Tally:
    """How many values of one metric were refused for one reason."""

    metric: str
    reason: str
    value_count: int


class RunWarnings:
    """The warnings that one spool adds to its run, each once: which the run has is noted beside the spool."""

    def __init__(self, connection: Connection, run: str, events: Path) -> None:
        self._connection = connection
        self._run = run
        self._events = events
        self._known: set[str] = set()
        self._refused: dict[str, Tally] = {}
        self._waiting: deque[str] = deque()
        self._has_waiting = asyncio.Event()
        self._sending = asyncio.Lock()
        self.denial: AuthenticationException | None = None
        """Why the last delivery ended with something left; None: it did not."""
        self._restore()

    def add(self, text: str) -> None:
        """Adds a warning, unless the same was added before."""
        if len(self._known) >= MAX_WARNINGS:
            text = "More was lost; this list is cut."
        if text not in self._known:
            self._known.add(text)
            self._waiting.append(text)
            self._has_waiting.set()

    def refused(self, refusal: Refusal) -> None:
        """Warns of values that are not stored, of the first at once."""
        metric = cut(refusal.metric, MAX_METRIC_CHARACTERS)
        text = f"Values of metric {metric!r} are not stored: {refusal.message} ({refusal.reason})"
        self.add(text)
        if text in self._refused:
            self._refused[text].value_count += refusal.value_count
        elif len(self._refused) < MAX_WARNINGS:
            self._refused[text] = Tally(metric, refusal.reason, refusal.value_count)

    def sum_up(self) -> None:
        """Adds how many values of a metric were refused in all, where it was more than one."""
        for it in self._refused.values():
            if it.value_count > 1:
                self.add(f"{it.value_count} values of metric {it.metric!r} were not stored ({it.reason})")

    async def send(self) -> None:
        """Sends what is added, for ever."""
        while True:
            await self._has_waiting.wait()
            await self.deliver()

    async def deliver(self) -> None:
        """Sends what waits, and returns when the run has it, or when the services refuse the token."""
        async with self._sending:
            self.denial = None
            try:
                await self._deliver()
            except AuthenticationException as error:
                self.denial = error
            self._has_waiting.clear()

    async def _deliver(self) -> None:
        failures = 0
        while self._waiting:
            if await self._add_to_run(self._waiting[0]):
                self._waiting.popleft()
                failures = 0
            else:
                await asyncio.sleep(backoff_seconds(failures))
                failures += 1

    async def _add_to_run(self, text: str) -> bool:
        request = AddWarningsRequest(name=self._run, warnings=[RunWarning(source=SOURCE, message=text)])
        try:
            await self._connection.call(self._connection.runs.AddWarnings, request, retry=False)
        except AuthenticationException as error:
            if error.reason:
                raise
            return False
        except AzureMLException as error:
            if isinstance(error, ServiceException) and error.status_code in TRANSIENT:
                return False
            _logger.warning("the run does not take a warning: %s", error.message)
        with contextlib.suppress(OSError):
            append_event(self._events, Warned(text))
        return True

    def _restore(self) -> None:
        events = EventReader(self._events).read()
        self._known.update(event.text for event in events if isinstance(event, Warned))
        for event in events:
            if isinstance(event, Refusal):
                self.refused(event)
