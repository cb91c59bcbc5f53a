"""What a compute target does, in both forms."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from google.protobuf.field_mask_pb2 import FieldMask

from runstream._channel.pages import pages
from runstream.api.jobs.v1 import agent_pb2
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._compute_configurations import ComputeConfiguration
from runstream.core._compute_status import ComputeTargetStatus
from runstream.core._forms import form_of
from runstream.core._surface import dual, dual_class
from runstream.exceptions import ComputeTargetException, ServiceException, UserErrorException

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls

PAGE_SIZE = 1000

Targets = list[Any]
Agents = list[agent_pb2.Agent]


class ComputeTargetCalls:
    """Where submitted runs execute."""

    _workspace: "WorkspaceCalls[Any, Any, Any]"
    _record: api.ComputeTarget

    type: str = "Unknown"
    """What kind of compute target this is: `local`, `AmlCompute` or `Kubernetes`."""

    @dual_class
    async def list(cls: Any, workspace: Any) -> Targets:
        """The compute targets of a workspace, in ascending order of name."""
        return [*(await targets_by_name(workspace, cls)).values()]

    @dual_class
    async def create(cls: Any, workspace: Any, name: str, provisioning_configuration: ComputeConfiguration) -> Any:
        """Makes a compute target of what `AmlCompute.provisioning_configuration` or the like returned.

            try:
                target = ComputeTarget(ws, "cpu-cluster")
            except ComputeTargetException:
                configuration = AmlCompute.provisioning_configuration(vm_size="large", max_nodes=4)
                target = ComputeTarget.create(ws, "cpu-cluster", configuration)
                target.wait_for_completion(show_output=True)

        Raises:
            ComputeTargetException: The name is taken or not allowed, or the services know no such cluster.
        """
        return await make_target(workspace, name, provisioning_configuration, cls)

    @dual_class
    async def attach(cls: Any, workspace: Any, name: str, attach_configuration: ComputeConfiguration) -> Any:
        """As `create`, of what `KubernetesCompute.attach_configuration` returned.

        Raises:
            ComputeTargetException: The name is taken or not allowed, or the services know no such cluster.
        """
        return await make_target(workspace, name, attach_configuration, cls)

    @dual
    async def get_status(self) -> ComputeTargetStatus:
        """How the compute target stands now: `status.serialize()` has all of it."""
        self._record = await read_compute_target(self._workspace, self.name)
        is_pool = self._record.kind == api.COMPUTE_TARGET_KIND_AGENT_POOL
        return ComputeTargetStatus(self._record, await self._agents() if is_pool else [])

    @dual
    async def refresh_state(self) -> None:
        """Reads the compute target again."""
        self._record = await read_compute_target(self._workspace, self.name)

    @dual
    async def wait_for_completion(
        self,
        show_output: bool = False,
        min_node_count: int | None = None,
        timeout_in_minutes: float | None = None,
        is_delete_operation: bool = False,
    ) -> None:
        """Returns at once: a compute target is there as soon as it is made, and runs wait in its queue for agents.

        With `show_output` it prints how the compute target stands.
        """
        if show_output and not is_delete_operation:
            self._record = await read_compute_target(self._workspace, self.name)
            print(f"{self.name}: {self.provisioning_state}. {self._record.status_message}".strip())  # noqa: T201

    @dual
    async def delete(self) -> None:
        """Deletes the compute target.

        Raises:
            ComputeTargetException: Runs of it have not ended, or it is `local`.
        """
        connection = self._workspace._connection()
        request = api.DeleteComputeTargetRequest(name=self._record.name)
        try:
            await connection.call(connection.jobs.DeleteComputeTarget, request, retry=False)
        except UserErrorException as error:
            raise _exception(error) from None

    @property
    def name(self) -> str:
        """The name of the compute target."""
        return self._record.name.rpartition("/computeTargets/")[2]

    @property
    def id(self) -> str:
        """The resource name."""
        return self._record.name

    @property
    def workspace(self) -> Any:
        """The workspace that owns the compute target."""
        return self._workspace

    @property
    def description(self) -> str:
        """Free text."""
        return self._record.description

    @property
    def created_on(self) -> datetime | None:
        """When it was made, in UTC; None: it exists in every workspace."""
        return self._record.create_time.ToDatetime(tzinfo=UTC) if self._record.HasField("create_time") else None

    @property
    def provisioning_state(self) -> str:
        """Always `Succeeded`: there is nothing to wait for."""
        return "Succeeded"

    def serialize(self) -> dict[str, Any]:
        """What is known of the compute target."""
        return {
            "id": self.id,
            "name": self.name,
            "computeType": self.type,
            "description": self.description,
            "createdOn": self.created_on.isoformat() if self.created_on else None,
            "provisioningState": self.provisioning_state,
            "properties": self._properties(),
        }

    @classmethod
    def _of(cls, workspace: "WorkspaceCalls[Any, Any, Any]", record: api.ComputeTarget) -> Any:
        """A compute target, as the class for its kind.

        Raises:
            ComputeTargetException: It is of another kind than `cls` stands for.
        """
        made = form_of(cls).compute_types.get(record.kind, form_of(cls).compute_target)
        if not issubclass(made, cls):
            name = record.name.rpartition("/")[2]
            raise ComputeTargetException(f"Compute target {name} is of type {made.type}, not {cls.type}.")
        target = object.__new__(made)
        target._workspace, target._record = workspace, record
        return target

    def _properties(self) -> dict[str, Any]:
        return {}

    async def _agents(self) -> Agents:
        connection = self._workspace._connection()
        request = api.ListAgentsRequest(parent=self._record.name, page_size=PAGE_SIZE)
        listed = pages(connection, connection.jobs.ListAgents, request)
        return [agent async for page in listed for agent in page.agents]

    async def _update(self, changed: api.ComputeTarget, field: str) -> None:
        connection = self._workspace._connection()
        changed.name = self._record.name
        request = api.UpdateComputeTargetRequest(compute_target=changed, update_mask=FieldMask(paths=[field]))
        self._record = (await connection.call(connection.jobs.UpdateComputeTarget, request)).compute_target

    def __repr__(self) -> str:
        return f"{type(self).__name__}(workspace={self._workspace.name}, name={self.name}, type={self.type})"


async def read_compute_target(workspace: "WorkspaceCalls[Any, Any, Any]", name: str) -> api.ComputeTarget:
    """The record of a compute target.

    Raises:
        ComputeTargetException: The workspace has none of this name.
    """
    connection = workspace._connection()
    request = api.GetComputeTargetRequest(name=f"{workspace._record.name}/computeTargets/{name}")
    try:
        return (await connection.call(connection.jobs.GetComputeTarget, request)).compute_target
    except (ServiceException, UserErrorException) as error:
        if error.reason not in ("COMPUTE_TARGET_NOT_FOUND", "INVALID_FIELD"):
            raise
        message = f"Compute target {name} was not found in workspace {workspace.name}."
        raise ComputeTargetException(message, error, reason=error.reason) from None


async def make_target(
    workspace: "WorkspaceCalls[Any, Any, Any]", name: str, configuration: ComputeConfiguration, cls: Any
) -> Any:
    """Makes a compute target; the object for it.

    Raises:
        ComputeTargetException: The name is taken or not allowed, or the services know no such cluster.
    """
    if not isinstance(configuration, ComputeConfiguration):
        raise ComputeTargetException(
            "A compute target is made of what AmlCompute.provisioning_configuration() or "
            f"KubernetesCompute.attach_configuration() returns, not of {type(configuration).__name__}."
        )
    connection = workspace._connection()
    request = api.CreateComputeTargetRequest(
        parent=workspace._record.name, compute_target=configuration.record(), compute_target_id=name
    )
    try:
        response = await connection.call(connection.jobs.CreateComputeTarget, request, retry=False)
    except UserErrorException as error:
        raise _exception(error) from None
    return cls._of(workspace, response.compute_target)


async def targets_by_name(workspace: "WorkspaceCalls[Any, Any, Any]", cls: Any) -> dict[str, Any]:
    """All compute targets of a workspace by name, as objects of the form of `cls`."""
    make = form_of(cls).compute_target._of
    return {each.name: each for each in [make(workspace, record) for record in await list_compute_targets(workspace)]}


async def list_compute_targets(workspace: "WorkspaceCalls[Any, Any, Any]") -> Sequence[api.ComputeTarget]:
    """The records of all compute targets of a workspace, in ascending order of name."""
    connection = workspace._connection()
    request = api.ListComputeTargetsRequest(parent=workspace._record.name, page_size=PAGE_SIZE)
    listed = pages(connection, connection.jobs.ListComputeTargets, request)
    return [target async for page in listed for target in page.compute_targets]


def _exception(error: UserErrorException) -> ComputeTargetException:
    return ComputeTargetException(error.message, error, reason=error.reason, metadata=error.metadata)
