"""Objects of the SDK for the place where a command works."""

import click

from runstream._cli.session import Session
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core import Experiment, Run, Workspace
from runstream.core._config import WorkspaceConfig


def sdk_workspace(session: Session) -> Workspace:
    """The workspace, without asking for it."""
    labels = WorkspaceConfig(session.place.workspace, "", "")
    workspace: Workspace = Workspace._of(session.place.address, WorkspaceRecord(name=session.workspace), labels)
    return workspace


def sdk_run(session: Session, run: str) -> Run:
    """The run of this id.

    Raises:
        ServiceException: No run of the workspace has this id; `status_code` is 404.
    """
    found: Run = sdk_workspace(session).get_run(run)
    return found


def sdk_experiment(session: Session) -> Experiment:
    """The active experiment of the place, which is made if there is none.

    Raises:
        click.UsageError: Nothing says which experiment.
    """
    if not session.place.experiment:
        raise click.UsageError("Say which experiment, by -e, or attach the folder: runstream folder attach -e NAME.")
    return Experiment(sdk_workspace(session), session.place.experiment)
