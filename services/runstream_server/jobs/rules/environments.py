"""The rules of environments."""

from collections.abc import Callable, Sequence
from datetime import datetime

from runstream_server.jobs.model import Environment
from runstream_server.jobs.store.environments import EnvironmentStore
from runstream_server.names import EnvironmentName, WorkspaceName
from runstream_server.not_found import EnvironmentNotFound
from runstream_server.runhistory import RunHistory

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends with the environment that takes it past these bytes."""


class Environments:
    """The rules of environments."""

    def __init__(self, store: EnvironmentStore, history: RunHistory, now: Callable[[], datetime]) -> None:
        self._store = store
        self._history = history
        self._now = now

    async def register(self, workspace: WorkspaceName, environment: str, definition: bytes) -> Environment:
        """Returns the latest version if it has this definition, else makes the next; raises WorkspaceNotFound."""
        await self._history.check_workspace(workspace)
        return await self._store.register(workspace.workspace, environment, definition, self._now())

    async def get(self, name: EnvironmentName) -> Environment:
        """Returns a version, or the latest one; raises WorkspaceNotFound or EnvironmentNotFound."""
        found = await self._store.get(name.workspace, name.environment, name.version)
        if found is None:
            await self._history.check_workspace(WorkspaceName(name.workspace))
            raise EnvironmentNotFound(name)
        return found

    async def list_latest(self, workspace: WorkspaceName, after: str, count: int) -> tuple[Sequence[Environment], bool]:
        """Returns up to `count` latest versions after `after`, in order of name, and whether there may be more.

        Raises WorkspaceNotFound.
        """
        await self._history.check_workspace(workspace)
        found = await self._store.list_latest(workspace.workspace, after, count + 1, PAGE_BYTES)
        size = sum(len(each.definition) for each in found)
        return found[:count], len(found) > count or size > PAGE_BYTES
