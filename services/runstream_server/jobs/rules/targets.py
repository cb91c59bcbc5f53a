"""The rules of compute targets."""

import asyncio
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from runstream_server.jobs.errors import (
    ComputeTargetExists,
    ComputeTargetFixed,
    ComputeTargetInUse,
)
from runstream_server.jobs.model import LOCAL, ComputeTarget, TargetKind
from runstream_server.jobs.rules.starting import Starters
from runstream_server.jobs.store.targets import TargetStore
from runstream_server.names import ComputeTargetName, WorkspaceName
from runstream_server.not_found import ComputeTargetNotFound
from runstream_server.runhistory import RunHistory

STATUS_SECONDS = 5.0
"""How long targets are asked how they stand, all those of a page together."""

_ASKED_AT_ONCE = 16
_NOT_TOLD = "how it stands was not found out in time; ask for it alone"


class Targets:
    """The rules of compute targets."""

    def __init__(
        self, store: TargetStore, history: RunHistory, starters: Starters, now: Callable[[], datetime]
    ) -> None:
        self._store = store
        self._history = history
        self._starters = starters
        self._now = now

    async def get(self, name: ComputeTargetName) -> ComputeTarget:
        """Returns a target; raises WorkspaceNotFound or ComputeTargetNotFound."""
        if name.compute_target == LOCAL:
            await self._history.check_workspace(WorkspaceName(name.workspace))
            return local_target(name.workspace)
        return await self.get_other(name)

    async def get_other(self, name: ComputeTargetName) -> ComputeTarget:
        """Returns a target besides `local`; raises WorkspaceNotFound or ComputeTargetNotFound."""
        target = await self._store.get(name)
        if target is None:
            await self._history.check_workspace(WorkspaceName(name.workspace))
            raise ComputeTargetNotFound(name)
        return target

    async def status_message(self, target: ComputeTarget) -> str:
        """How a target stands, for people."""
        return await self._starters[target.kind].status_message(target)

    async def status_messages(self, targets: Sequence[ComputeTarget], seconds: float = STATUS_SECONDS) -> Sequence[str]:
        """How targets stand, for people, in their order; of those that have not answered after so long that is said."""
        room = asyncio.Semaphore(_ASKED_AT_ONCE)

        async def ask(target: ComputeTarget) -> str:
            async with room:
                return await self.status_message(target)

        asking = [asyncio.create_task(ask(target)) for target in targets]
        try:
            if asking:
                await asyncio.wait(asking, timeout=seconds)
            return [task.result() if task.done() else _NOT_TOLD for task in asking]
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def list_targets(self, workspace: WorkspaceName, after: str, count: int) -> Sequence[ComputeTarget]:
        """Returns up to `count` targets with names after `after`, in order of name; raises WorkspaceNotFound."""
        await self._history.check_workspace(workspace)
        others = await self._store.list_targets(workspace.workspace, after, count)
        local = [local_target(workspace.workspace)] if after < LOCAL else []
        return sorted([*others, *local], key=lambda target: target.name)[:count]

    async def create(self, target: ComputeTarget) -> ComputeTarget:
        """Creates a target; raises WorkspaceNotFound, ComputeTargetExists, or ClusterNotConfigured."""
        await self._history.check_workspace(WorkspaceName(target.name.workspace))
        self._starters[target.kind].check_target(target)
        created = replace(target, create_time=self._now())
        if not await self._store.create(created):
            raise ComputeTargetExists(target.name)
        return created

    async def update(self, new: ComputeTarget, fields: Collection[str]) -> ComputeTarget:
        """Gives a target the fields of another: `description`, and the configuration by the name of its kind.

        Raises:
            ComputeTargetNotFound: No target has the name.
            ComputeTargetFixed: It is `local`, or the configuration is that of another kind.
        """
        self._check_is_not_local(new.name)
        target = await self.get_other(new.name)
        kinds = set(fields) - {"description"}
        if kinds - {target.kind.value}:
            raise ComputeTargetFixed(new.name, f"it is of kind {target.kind.value}, which cannot be changed")
        if kinds:
            target = replace(target, configuration=new.configuration)
            self._starters[target.kind].check_target(target)
        if "description" in fields:
            target = replace(target, description=new.description)
        if not await self._store.update(target):
            raise ComputeTargetNotFound(new.name)
        return target

    async def delete(self, name: ComputeTargetName) -> None:
        """Deletes a target; raises ComputeTargetNotFound, ComputeTargetFixed or ComputeTargetInUse."""
        self._check_is_not_local(name)
        open_count = await self._store.delete(name)
        if open_count is None:
            raise ComputeTargetNotFound(name)
        if open_count:
            raise ComputeTargetInUse(name, open_count)

    def _check_is_not_local(self, name: ComputeTargetName) -> None:
        if name.compute_target == LOCAL:
            raise ComputeTargetFixed(name, "every workspace has it, as it is; create a target of your own")


def local_target(workspace: str) -> ComputeTarget:
    """The target that every workspace has."""
    return ComputeTarget(ComputeTargetName(workspace, LOCAL), TargetKind.LOCAL)


def is_pool(target: ComputeTarget) -> bool:
    """Whether a target consists of agents."""
    return target.kind is TargetKind.AGENT_POOL
