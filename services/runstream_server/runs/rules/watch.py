"""Watches runs: every change, in the order of transactions, without gaps.

One feed per watched workspace and process reads which runs changed and wakes the watchers concerned; each watcher then
reads the changes from its own position. So a change costs one query and one per watcher that it is about.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime

from runstream_server.errors import Draining, Unavailable
from runstream_server.postgres import Hints, Subscription
from runstream_server.runs.errors import InvalidResumeToken, WorkspaceNotFound
from runstream_server.runs.filter import Node, experiment_names, parse_filter
from runstream_server.runs.model import Position
from runstream_server.runs.store.changes import Change, ChangeStore, Watched
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.runs.tokens import Signer

TOPIC = "runs"
"""The topic of hints about changed runs; their keys are workspaces."""

_LOOK_SECONDS = 1.0
_UNFINISHED_SECONDS = 0.003
_UNAVAILABLE_SECONDS = 0.5


class Feeds:
    """Wakes watchers when runs change that they are about."""

    def __init__(self, store: ChangeStore, hints: Hints, draining: asyncio.Event, tasks: asyncio.TaskGroup) -> None:
        self._store = store
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
        position: Position | None = None
        with self._hints.subscribe(TOPIC, [workspace]) as hints:
            while True:
                try:
                    if position is None:
                        position, _ = await self._store.horizon()
                        self._wake_all(workspace)
                    position, pause = await self._pass_on(workspace, position)
                except Unavailable:
                    pause = _UNAVAILABLE_SECONDS
                if pause:
                    await asyncio.sleep(pause)
                else:
                    await hints.wait(_LOOK_SECONDS * random.uniform(0.8, 1.2))

    async def _pass_on(self, workspace: str, position: Position) -> tuple[Position, float]:
        """Wakes those concerned by what changed; returns where to go on, and how soon to do so without a hint."""
        feed = await self._store.feed(workspace, position)
        watchers = self._watchers.get(workspace, {})
        if feed.runs:
            for key in (None, *feed.runs):
                for subscription in watchers.get(key, ()):
                    subscription.wake()
        if feed.has_more:
            return feed.position, 1e-6
        return feed.position, _UNFINISHED_SECONDS if feed.has_unfinished else 0.0

    def _wake_all(self, workspace: str) -> None:
        for subscriptions in self._watchers.get(workspace, {}).values():
            for subscription in subscriptions:
                subscription.wake()


@dataclass(frozen=True)
class WatchRequest:
    """What somebody watches, and from where on."""

    workspace: str
    names: Sequence[str]
    filter_text: str
    resume_token: str
    include_present: bool


@dataclass
class _Cursor:
    """How far a watcher has read: changes up to a position; of the present runs those up to `present`, if any."""

    position: Position
    present: str | None

    @property
    def content(self) -> Sequence[object]:
        return [self.position.xid, self.position.run, self.present]


class Watches:
    """The rules of watching runs."""

    def __init__(
        self,
        store: ChangeStore,
        feeds: Feeds,
        experiments: ExperimentStore,
        workspaces: WorkspaceStore,
        signer: Signer,
        now: Callable[[], datetime],
        draining: asyncio.Event,
    ) -> None:
        self._store = store
        self._feeds = feeds
        self._experiments = experiments
        self._workspaces = workspaces
        self._signer = signer
        self._now = now
        self._draining = draining

    async def watch(self, request: WatchRequest, idle_seconds: float) -> AsyncIterator[tuple[Sequence[Change], str]]:
        """Yields changes in order with the token to go on from; without changes at first and every `idle_seconds`.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter, InvalidResumeToken: They are wrong.
            Draining: The process stops.
        """
        node = parse_filter(request.filter_text)
        if await self._workspaces.get(request.workspace) is None:
            raise WorkspaceNotFound(request.workspace)
        binding = ("watch", request.workspace, sorted(request.names), request.filter_text)
        with self._feeds.subscribe(request.workspace, request.names) as subscription:
            cursor = await self._begin(request, binding)
            yield [], self._signer.seal(binding, cursor.content)
            while True:
                async for changes in self._read(await self._watched(request, node), cursor):
                    yield changes, self._signer.seal(binding, cursor.content)
                if self._draining.is_set():
                    raise Draining
                if not await subscription.wait(idle_seconds):
                    yield [], self._signer.seal(binding, cursor.content)

    async def _begin(self, request: WatchRequest, binding: Sequence[object]) -> _Cursor:
        if not request.resume_token:
            position, _ = await self._store.horizon()
            return _Cursor(position, "" if request.include_present else None)
        content = self._signer.open(binding, request.resume_token)
        if content is None:
            raise InvalidResumeToken
        xid, run, present = content
        assert isinstance(xid, int)
        return _Cursor(Position(xid, str(run)), None if present is None else str(present))

    async def _watched(self, request: WatchRequest, node: Node | None) -> Watched:
        """Display names of experiments are looked up anew: one may have come since."""
        names = sorted(experiment_names(node, request.workspace))
        experiments = await self._experiments.identifiers(request.workspace, names) if names else {}
        return Watched(request.workspace, request.names, node, experiments)

    async def _read(self, watched: Watched, cursor: _Cursor) -> AsyncIterator[Sequence[Change]]:
        """Reads all there is, present runs first; moves the cursor along."""
        while cursor.present is not None:
            present = await self._store.present(watched, cursor.present, self._now())
            cursor.present = present[-1].run.run if present else None
            if present:
                yield present
        while not self._draining.is_set():
            read = await self._store.changes(watched, cursor.position, self._now())
            cursor.position = read.position
            if read.changes:
                yield read.changes
            if not read.has_more:
                return
