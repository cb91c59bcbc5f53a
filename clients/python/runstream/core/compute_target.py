"""Compute targets."""

from typing import TYPE_CHECKING, Any

from runstream._channel import loop
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._compute import list_compute_targets, read_compute_target
from runstream.exceptions import ComputeTargetException

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls
    from runstream.core.workspace import Workspace

__all__ = ["ComputeTarget", "ComputeTargetException"]


class ComputeTarget:
    """Where submitted runs execute. Every workspace has `local`, the machine of the caller.

        ComputeTarget(ws, "local")
        ws.compute_targets

    Raises:
        ComputeTargetException: The workspace has no compute target of this name.
    """

    def __init__(self, workspace: "Workspace", name: str) -> None:
        self._attach(workspace, loop.run(read_compute_target(workspace, name)))

    @classmethod
    async def _all(cls, workspace: "WorkspaceCalls[Any, Any, Any]") -> "dict[str, ComputeTarget]":
        found: dict[str, ComputeTarget] = {}
        for record in await list_compute_targets(workspace):
            target = cls.__new__(cls)
            target._attach(workspace, record)
            found[target.name] = target
        return found

    def _attach(self, workspace: "WorkspaceCalls[Any, Any, Any]", record: api.ComputeTarget) -> None:
        self._workspace, self._record = workspace, record

    @staticmethod
    def list(workspace: "Workspace") -> "list[ComputeTarget]":
        """The compute targets of a workspace, in ascending order of name."""
        return [*loop.run(ComputeTarget._all(workspace)).values()]

    @property
    def name(self) -> str:
        """The name of the compute target."""
        return self._record.name.rpartition("/computeTargets/")[2]

    @property
    def type(self) -> str:
        """What kind of compute target this is: `local`."""
        return api.ComputeTargetKind.Name(self._record.kind).removeprefix("COMPUTE_TARGET_KIND_").lower()

    @property
    def workspace(self) -> "WorkspaceCalls[Any, Any, Any]":
        """The workspace that owns the compute target."""
        return self._workspace

    def __repr__(self) -> str:
        return f"ComputeTarget(workspace={self._workspace.name}, name={self.name}, type={self.type})"
