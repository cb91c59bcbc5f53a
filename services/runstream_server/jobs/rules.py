"""What the job service does."""

from collections.abc import Sequence

from runstream_server.errors import NotFound
from runstream_server.jobs.model import ComputeTarget, TargetKind
from runstream_server.names import ComputeTargetName, WorkspaceName
from runstream_server.runhistory import RunHistory

_LOCAL = "local"


class ComputeTargetNotFound(NotFound):
    """No compute target has the name."""

    reason = "COMPUTE_TARGET_NOT_FOUND"

    def __init__(self, name: ComputeTargetName) -> None:
        super().__init__(f"no compute target has the name {name}; every workspace has `{_LOCAL}`", compute_target=name)


class Jobs:
    """The rules of jobs."""

    def __init__(self, history: RunHistory) -> None:
        self._history = history

    async def get_target(self, name: ComputeTargetName) -> ComputeTarget:
        """Returns a compute target; raises WorkspaceNotFound or ComputeTargetNotFound."""
        await self._history.check_workspace(WorkspaceName(name.workspace))
        if name.compute_target != _LOCAL:
            raise ComputeTargetNotFound(name)
        return ComputeTarget(name, TargetKind.LOCAL)

    async def list_targets(self, workspace: WorkspaceName, after: str, count: int) -> Sequence[ComputeTarget]:
        """Returns up to `count` targets with names after `after`, in order of name; raises WorkspaceNotFound."""
        await self._history.check_workspace(workspace)
        targets = [ComputeTarget(ComputeTargetName(workspace.workspace, _LOCAL), TargetKind.LOCAL)]
        return [target for target in targets if target.name.compute_target > after][:count]
