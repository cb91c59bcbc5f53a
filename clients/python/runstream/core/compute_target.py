"""Compute targets: where submitted runs execute."""

from typing import TYPE_CHECKING, Any

from runstream._channel import loop
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._compute import ComputeTargetCalls, read_compute_target
from runstream.core._compute_kinds import AmlComputeCalls, KubernetesComputeCalls, LocalComputeCalls
from runstream.core._forms import BLOCKING
from runstream.core._surface import Blocking
from runstream.exceptions import ComputeTargetException

if TYPE_CHECKING:
    from runstream.core.workspace import Workspace

__all__ = ["AmlCompute", "ComputeTarget", "ComputeTargetException", "KubernetesCompute", "LocalTarget"]


class ComputeTarget(ComputeTargetCalls, Blocking):
    """Where submitted runs execute. Every workspace has `local`, the machine of the caller.

        ComputeTarget(ws, "local")
        ws.compute_targets

    The object is of the class for the kind of the target: `AmlCompute`, `KubernetesCompute` or `LocalTarget`.

    Raises:
        ComputeTargetException: The workspace has no compute target of this name, or it is of another kind than asked
            for.
    """

    def __new__(cls, workspace: "Workspace", name: str) -> Any:
        """Reads the compute target, and makes it an object of the class for its kind."""
        return cls._of(workspace, loop.run(read_compute_target(workspace, name)))

    def __init__(self, workspace: "Workspace", name: str) -> None:
        """Does nothing: the object is complete when it is made."""


class AmlCompute(AmlComputeCalls, ComputeTarget):
    """Machines on which somebody started agents: `runstream agent start --target NAME`."""


class KubernetesCompute(KubernetesComputeCalls, ComputeTarget):
    """A namespace of a Kubernetes cluster, in which each run becomes a `batch/v1` Job."""


class LocalTarget(LocalComputeCalls, ComputeTarget):
    """The machine of the caller, which every workspace has as `local`."""


BLOCKING.compute_target = ComputeTarget
BLOCKING.compute_types |= {
    api.COMPUTE_TARGET_KIND_AGENT_POOL: AmlCompute,
    api.COMPUTE_TARGET_KIND_KUBERNETES: KubernetesCompute,
    api.COMPUTE_TARGET_KIND_LOCAL: LocalTarget,
}
