"""Wakes watchers. One feed per watched workspace and process reads which runs changed, and wakes those it is about.

So a change costs one query, and one more for each watcher that it is about.
"""

import asyncio
import logging
import random
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from runstream_server.postgres import Hints, Subscription
from runstream_server.runs.model import Position
from runstream_server.runs.rules.patience import WARN_SECONDS, Patience
from runstream_server.runs.store.changes import ChangeStore

TOPIC = "runs"
"""The topic of hints about changed runs; their keys are workspaces."""

_LOOK_SECONDS = 1.0
_TROUBLE_SECONDS = 0.5

logger = logging.getLogger(__name__)


class Feeds:
    """Wakes watchers when runs change that they are about."""

    def __init__(
        self,
        store: ChangeStore,
        hints: Hints,
        draining: asyncio.Event,
        tasks: asyncio.TaskGroup,
        *,
        warn_seconds: float = WARN_SECONDS,
    ) -> None:
        self._store = store
        self._warn_seconds = warn_seconds
        self._hints = hints
        self._draining = draining
        self._tasks = tasks
        self._watchers: dict[str, dict[str | None, set[Subscription]]] = {}
        self._running: dict[str, asyncio.Task[None]] = {}

    @contextmanager
    def subscribe(self, workspace: str, runs: Sequence[str]) -> Iterator[Subscription]:
        """Makes a subscription to some runs of a workspace, or to all of them if none is named."""
        subscription = Subscription()
        keys: Sequence[str | None] = list(runs) or [None]
        watchers = self._watchers.setdefault(workspace, defaultdict(set))
        for key in keys:
            watchers[key].add(subscription)
        if workspace not in self._running:
            self._running[workspace] = self._tasks.create_task(self._feed(workspace), name=f"runs-feed-{workspace}")
        try:
            yield subscription
        finally:
            self._unsubscribe(workspace, keys, subscription)

    def _unsubscribe(self, workspace: str, keys: Sequence[str | None], subscription: Subscription) -> None:
        watchers = self._watchers[workspace]
        for key in keys:
            watchers[key].discard(subscription)
            if not watchers[key]:
                del watchers[key]
        if not watchers:
            del self._watchers[workspace]
            self._running.pop(workspace).cancel()

    async def wake_when_draining(self) -> None:
        """Wakes all watchers when the process stops."""
        await self._draining.wait()
        for workspace in list(self._watchers):
            self._wake_all(workspace)

    def stop(self) -> None:
        """Reads no feed any more."""
        for task in self._running.values():
            task.cancel()

    async def _feed(self, workspace: str) -> None:
        """Looks whenever there is a hint, and now and then without one, since a hint can be lost."""
        position: Position | None = None
        patience = Patience(self._store.known, workspace, self._warn_seconds)
        with self._hints.subscribe(TOPIC, [workspace]) as hints:
            while True:
                try:
                    if position is None:
                        position, _ = await self._store.horizon()
                        self._wake_all(workspace)
                    feed = await self._store.feed(workspace, position)
                    position = feed.position
                    self._wake(workspace, feed.runs)
                    if feed.has_unfinished:
                        await patience.wait(position.xid)
                        continue
                except Exception as error:  # noqa: BLE001 - whatever it is, looking again may do better
                    logger.warning("changes not read", extra={"workspace": workspace, "error": repr(error)})
                    await asyncio.sleep(_TROUBLE_SECONDS)
                    continue
                patience.end()
                if not feed.has_more:
                    await hints.wait(_LOOK_SECONDS * random.uniform(0.8, 1.2))

    def _wake(self, workspace: str, runs: Sequence[str]) -> None:
        watchers = self._watchers.get(workspace, {})
        for key in (None, *runs) if runs else ():
            for subscription in watchers.get(key, ()):
                subscription.wake()

    def _wake_all(self, workspace: str) -> None:
        for subscriptions in self._watchers.get(workspace, {}).values():
            for subscription in subscriptions:
                subscription.wake()
