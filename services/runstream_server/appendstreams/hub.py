"""What the append streams of one service in one process have in common."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Generic, Protocol

from runstream_server.appendstreams.budget import ByteBudget
from runstream_server.appendstreams.groupcommit import Ahead, GroupCommitter
from runstream_server.appendstreams.limits import AppendLimits
from runstream_server.appendstreams.model import Append, Opening, Outcome, Payload
from runstream_server.appendstreams.telemetry import AppendMetrics
from runstream_server.runhistory import RunWatch


class OpenStream(Protocol):
    """A stream as the hub sees it."""

    def fence(self) -> None:
        """Ends the stream: a newer one of the same writer was opened."""

    def drain(self) -> None:
        """Tells the client, commits and acknowledges what arrived, and ends the stream."""


class AppendHub(Generic[Payload]):
    """Knows the open streams, one for each writer, and what they share."""

    def __init__(
        self,
        committer: GroupCommitter[Payload],
        limits: AppendLimits,
        metrics: AppendMetrics,
        watch: RunWatch,
        draining: asyncio.Event,
    ) -> None:
        self.committer = committer
        self.limits = limits
        self.metrics = metrics
        self.watch = watch
        self.draining = draining
        self.budget = ByteBudget(limits.budget_bytes)
        self._streams: dict[object, tuple[int, OpenStream]] = {}
        metrics.buffered_bytes.set_function(lambda: self.budget.used_bytes)

    @contextmanager
    def entered(self, opening: Opening, stream: OpenStream) -> Iterator[None]:
        """Knows a stream while the context is open; fences the older one of the same writer, whichever that is."""
        self._enter(opening, stream)
        self.metrics.open_streams.inc()
        try:
            yield
        finally:
            self.metrics.open_streams.dec()
            if self._streams.get(opening.key, (0, None))[1] is stream:
                del self._streams[opening.key]

    def _enter(self, opening: Opening, stream: OpenStream) -> None:
        epoch, other = self._streams.get(opening.key, (0, None))
        if other is not None and epoch > opening.epoch:
            stream.fence()
            return
        if other is not None:
            other.fence()
        self._streams[opening.key] = (opening.epoch, stream)
        if self.draining.is_set():
            stream.drain()

    async def drain_when_told(self) -> None:
        """Drains all streams when the process stops."""
        await self.draining.wait()
        for _, stream in list(self._streams.values()):
            stream.drain()


@asynccontextmanager
async def append_hub(
    service: str,
    commit: Callable[[Sequence[Append[Payload]]], Awaitable[Sequence[Outcome]]],
    *,
    rescue: Callable[[Append[Payload]], Awaitable[Outcome]] | None = None,
    ahead: Ahead[Payload] | None = None,
    limits: AppendLimits,
    watch: RunWatch,
    draining: asyncio.Event,
) -> AsyncIterator[AppendHub[Payload]]:
    """Runs group commit for the append streams of one service while the context is open."""
    metrics = AppendMetrics(service)
    committer = GroupCommitter(commit, rescue, limits, metrics, ahead)
    hub = AppendHub(committer, limits, metrics, watch, draining)
    async with asyncio.TaskGroup() as tasks:
        running = [
            tasks.create_task(committer.run(), name=f"{service}-group-commit"),
            tasks.create_task(hub.drain_when_told(), name=f"{service}-drain"),
        ]
        try:
            yield hub
        finally:
            for task in running:
                task.cancel()
