"""Workspaces."""

from typing import TYPE_CHECKING

from runstream._channel import find_address, loop
from runstream._channel.connection import Connection
from runstream.core._config import WorkspaceConfig
from runstream.core._forms import BLOCKING
from runstream.core._surface import Blocking
from runstream.core._workspace import WorkspaceCalls

if TYPE_CHECKING:
    from runstream.core.compute_target import ComputeTarget
    from runstream.core.environment import Environment
    from runstream.core.experiment import Experiment
    from runstream.core.run import Run  # noqa: F401  (named in the base class)

__all__ = ["Workspace"]


class Workspace(WorkspaceCalls["Workspace", "Experiment", "Run"], Blocking):
    """A workspace owns experiments, their runs, and compute targets.

        ws = Workspace.get()                # the workspace "default" of the `runstream up` of this machine
        ws = Workspace.from_config()        # the one that ./.runstream/config.json names

    `Workspace(subscription_id, resource_group, workspace_name)` is the same as `Workspace.get(workspace_name)`; the
    first two are labels.
    """

    def __init__(
        self,
        subscription_id: str = "",
        resource_group: str = "",
        workspace_name: str = WorkspaceCalls.DEFAULT,
        auth: object = None,
        **kwargs: object,
    ) -> None:
        address = find_address()

        async def read() -> None:
            record = await self._fetch(Connection.to(address), workspace_name)
            self._attach(address, record, WorkspaceConfig(workspace_name, subscription_id, resource_group))

        loop.run(read())

    @property
    def experiments(self) -> "dict[str, Experiment]":
        """The active experiments by name, read from the service."""
        return loop.run(self._experiments())

    @property
    def compute_targets(self) -> "dict[str, ComputeTarget]":
        """Where submitted runs can execute, by name, read from the service."""
        from runstream.core._compute import targets_by_name
        from runstream.core.compute_target import ComputeTarget

        return loop.run(targets_by_name(self, ComputeTarget))

    @property
    def environments(self) -> "dict[str, Environment]":
        """The latest versions of registered environments and the ready-made ones, by name, read from the service."""
        from runstream.core._environment import list_environments
        from runstream.core.environment import Environment

        return loop.run(list_environments(self, Environment))

    @property
    def datastores(self) -> dict[str, object]:
        """Registered datastores by name; there are none."""
        return {}

    @property
    def datasets(self) -> dict[str, object]:
        """Registered datasets by name; there are none."""
        return {}

    @property
    def models(self) -> dict[str, object]:
        """Registered models by name; there are none."""
        return {}


BLOCKING.workspace = Workspace
