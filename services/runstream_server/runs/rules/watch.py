"""Watches runs: every change, in the order of transactions, without gaps."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.errors import Draining
from runstream_server.postgres import Subscription
from runstream_server.runs.errors import InvalidResumeToken, WorkspaceNotFound
from runstream_server.runs.filter import Node, experiment_names, parse_filter
from runstream_server.runs.model import Position
from runstream_server.runs.rules.feed import Feeds
from runstream_server.runs.store.changes import Change, ChangeStore, Watched
from runstream_server.runs.store.experiments import ExperimentStore
from runstream_server.runs.store.workspaces import WorkspaceStore
from runstream_server.tokens import Signer

IDLE_SECONDS = 15.0
"""How often a watcher is told that nothing happened."""

_READS_AT_ONCE = 4
"""How many watchers read at the same time: when all are concerned they must not take all connections."""


@dataclass(frozen=True)
class WatchRequest:
    """What somebody watches, and from where on."""

    workspace: str
    names: Sequence[str]
    filter_text: str
    resume_token: str
    include_present: bool


@dataclass(frozen=True)
class Message:
    """What a watcher is told at once; without changes: nothing happened."""

    changes: Sequence[Change]
    resume_token: str


Send = Callable[[Message], Awaitable[None]]
"""Sends a message, and returns when the watcher can take another."""

Tell = Callable[[Sequence[Change]], Awaitable[None]]
"""Sends changes with the token that leads behind them."""


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
        *,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._store = store
        self._feeds = feeds
        self._experiments = experiments
        self._workspaces = workspaces
        self._signer = signer
        self._now = now
        self._draining = draining
        self._idle_seconds = idle_seconds
        self._reading = asyncio.Semaphore(_READS_AT_ONCE)

    async def watch(self, request: WatchRequest, send: Send) -> None:
        """Sends changes in order, for ever; a message without changes at once and whenever nothing happened for long.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            InvalidFilter, InvalidResumeToken: They are wrong.
            Draining: The process stops.
        """
        node = parse_filter(request.filter_text)
        self._store.check_filter(request.workspace, node, self._now())
        if await self._workspaces.get(request.workspace) is None:
            raise WorkspaceNotFound(request.workspace)
        binding = ("watch", request.workspace, sorted(request.names), request.filter_text)
        with self._feeds.subscribe(request.workspace, request.names) as subscription:
            cursor = await self._begin(request, binding)

            async def tell(changes: Sequence[Change]) -> None:
                await send(Message(changes, self._signer.seal(binding, cursor.content)))

            await tell([])
            await self._tell_forever(request, node, cursor, subscription, tell)

    async def _begin(self, request: WatchRequest, binding: Sequence[object]) -> _Cursor:
        horizon, next_xid = await self._store.horizon()
        if not request.resume_token:
            return _Cursor(horizon, "" if request.include_present else None)
        content = self._signer.open(binding, request.resume_token)
        if content is None:
            raise InvalidResumeToken
        xid, run, present = content
        assert isinstance(xid, int)
        if xid > next_xid:  # the database was restored since, from a copy that is older than the token
            raise InvalidResumeToken
        return _Cursor(Position(xid, str(run)), None if present is None else str(present))

    async def _tell_forever(
        self, request: WatchRequest, node: Node | None, cursor: _Cursor, subscription: Subscription, tell: Tell
    ) -> None:
        clock = asyncio.get_running_loop().time
        told = clock()
        while True:
            if await self._tell_all(await self._watched(request, node), cursor, tell):
                told = clock()
            if self._draining.is_set():
                raise Draining
            if clock() - told >= self._idle_seconds:
                await tell([])
                told = clock()
            await subscription.wait(told + self._idle_seconds - clock())

    async def _watched(self, request: WatchRequest, node: Node | None) -> Watched:
        """Display names of experiments are looked up anew each time: one may have come since."""
        names = sorted(experiment_names(node, request.workspace))
        experiments = await self._experiments.identifiers(request.workspace, names) if names else {}
        return Watched(request.workspace, request.names, node, experiments)

    async def _tell_all(self, watched: Watched, cursor: _Cursor, tell: Tell) -> bool:
        """Tells all there is, present runs first, and moves the cursor along; returns whether there was anything."""
        was_told = False
        while not self._draining.is_set():
            changes, has_more = await self._read(watched, cursor)
            if changes:
                await tell(changes)
                was_told = True
            if not has_more:
                break
        return was_told

    async def _read(self, watched: Watched, cursor: _Cursor) -> tuple[Sequence[Change], bool]:
        """Reads on from the cursor, and moves it along; returns whether there is more."""
        async with self._reading:
            if cursor.present is not None:
                present = await self._store.present(watched, cursor.present, self._now())
                cursor.present = present[-1].run.run if present else None
                return present, True
            read = await self._store.changes(watched, cursor.position, self._now())
            cursor.position = read.position
            return read.changes, read.has_more
