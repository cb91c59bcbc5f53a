"""Objects of the SDK for the place where a command works."""

from runstream._cli.session import Session
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core import Run, Workspace
from runstream.core._config import WorkspaceConfig


def sdk_run(session: Session, run: str) -> Run:
    """The run of this id.

    Raises:
        ServiceException: No run of the workspace has this id; `status_code` is 404.
    """
    labels = WorkspaceConfig(session.place.workspace, "", "")
    workspace: Workspace = Workspace._of(session.place.address, WorkspaceRecord(name=session.workspace), labels)
    found: Run = workspace.get_run(run)
    return found
