"""Follows runs to their end: one stream of changes per workspace, however many runs are followed."""

import asyncio
import logging
from collections import defaultdict
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

from runstream_server.errors import NotFound, RunstreamError
from runstream_server.names import RunName
from runstream_server.runhistory.client import RunFacts, RunHistory

logger = logging.getLogger(__name__)

_FIRST_MESSAGE_SECONDS = 2.0
_BACKOFF_SECONDS = 0.5

Follower = Callable[[RunFacts], None]


class RunWatch:
    """Tells followers what becomes of their runs."""

    def __init__(self, history: RunHistory, tasks: asyncio.TaskGroup) -> None:
        self._history = history
        self._tasks = tasks
        self._workspaces: dict[str, _WorkspaceWatch] = {}

    @asynccontextmanager
    async def following(self, run: RunName, follower: Follower) -> AsyncIterator[RunFacts]:
        """Calls `follower` when a run ends or is to be cancelled, and when it changes later, while the context is open.

        Hands out what is known of the run now. Raises RunNotFound.
        """
        watch = self._watch(run.workspace)
        watch.followers[run].add(follower)
        try:
            await watch.wait_until_it_listens()
            yield await self._history.get_run(run)
        finally:
            watch.followers[run].discard(follower)
            if not watch.followers[run]:
                del watch.followers[run]
            if not watch.followers:
                self._forget(run.workspace, watch)

    def _watch(self, workspace: str) -> "_WorkspaceWatch":
        if workspace not in self._workspaces:
            watch = _WorkspaceWatch(workspace, self._history)
            watch.task = self._tasks.create_task(watch.run(), name=f"watch-{workspace}")
            self._workspaces[workspace] = watch
        return self._workspaces[workspace]

    def _forget(self, workspace: str, watch: "_WorkspaceWatch") -> None:
        del self._workspaces[workspace]
        watch.task.cancel()

    def stop(self) -> None:
        """Stops watching; followers hear nothing more."""
        for watch in self._workspaces.values():
            watch.task.cancel()


class _WorkspaceWatch:
    """The stream of changes of one workspace."""

    task: "asyncio.Task[None]"

    def __init__(self, workspace: str, history: RunHistory) -> None:
        self.followers: defaultdict[RunName, set[Follower]] = defaultdict(set)
        self._workspace = workspace
        self._history = history
        self._listens = asyncio.Event()
        self._resume_token = ""
        self._missed = False

    async def wait_until_it_listens(self) -> None:
        """Waits until changes from now on reach the followers. When that takes long, the watch catches up later."""
        try:
            async with asyncio.timeout(_FIRST_MESSAGE_SECONDS):
                await self._listens.wait()
        except TimeoutError:
            self._missed = True

    async def run(self) -> None:
        """Passes on changes until cancelled; resumes where it stopped."""
        while True:
            try:
                await self._stream()
            except NotFound:
                self._listens.set()  # there is nothing to listen to: who asks for a run learns why
            except RunstreamError as error:
                logger.info("watching runs again", extra={"workspace": self._workspace, "reason": error.reason})
            except Exception as error:  # noqa: BLE001 - whatever it is, begin anew: the token may be at fault
                logger.warning("watching runs anew", extra={"workspace": self._workspace, "error": repr(error)})
                self._resume_token, self._missed = "", True
            await asyncio.sleep(_BACKOFF_SECONDS)

    async def _stream(self) -> None:
        async with aclosing(self._history.watch(self._workspace, self._resume_token)) as changes:
            async for change in changes:
                self._resume_token = change.resume_token
                self._listens.set()
                for facts in change.runs:
                    self._tell(facts)
                if self._missed:
                    self._missed = not await self._look()

    async def _look(self) -> bool:
        """Asks for all followed runs; returns whether every one was answered for."""
        answered = True
        for run in list(self.followers):
            try:
                self._tell(await self._history.get_run(run))
            except NotFound:
                continue
            except RunstreamError:
                answered = False
        return answered

    def _tell(self, facts: RunFacts) -> None:
        for follower in list(self.followers.get(facts.name, ())):
            follower(facts)


@asynccontextmanager
async def run_watch(history: RunHistory) -> AsyncIterator[RunWatch]:
    """Follows runs while the context is open."""
    async with asyncio.TaskGroup() as tasks:
        watch = RunWatch(history, tasks)
        try:
            yield watch
        finally:
            watch.stop()
