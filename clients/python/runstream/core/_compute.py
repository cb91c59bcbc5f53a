"""Compute targets."""

from typing import TYPE_CHECKING, Any

from runstream._channel.pages import pages
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.exceptions import ComputeTargetException, ServiceException

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls

PAGE_SIZE = 1000


async def read_compute_target(workspace: "WorkspaceCalls[Any, Any, Any]", name: str) -> api.ComputeTarget:
    """The record of a compute target.

    Raises:
        ComputeTargetException: The workspace has none of this name.
    """
    connection = workspace._connection()
    request = api.GetComputeTargetRequest(name=f"{workspace._record.name}/computeTargets/{name}")
    try:
        return (await connection.call(connection.jobs.GetComputeTarget, request)).compute_target
    except ServiceException as error:
        if error.status_code != 404:
            raise
        message = f"Compute target {name} was not found in workspace {workspace.name}."
        raise ComputeTargetException(message, error) from None


async def list_compute_targets(workspace: "WorkspaceCalls[Any, Any, Any]") -> list[api.ComputeTarget]:
    """The records of all compute targets of a workspace, in ascending order of name."""
    connection = workspace._connection()
    request = api.ListComputeTargetsRequest(parent=workspace._record.name, page_size=PAGE_SIZE)
    listed = pages(connection, connection.jobs.ListComputeTargets, request)
    return [target async for page in listed for target in page.compute_targets]
