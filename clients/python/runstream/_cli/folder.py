"""The commands of `runstream folder`."""

import re
from pathlib import Path

import click

from runstream._channel.address import find_address, parse_address
from runstream._cli.commands import Group
from runstream._cli.configurations import write_configurations
from runstream._cli.documents import Document
from runstream._cli.place import DEFAULT_WORKSPACE
from runstream._cli.services import Services
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import Settings
from runstream._cli.tables import Column, fields
from runstream.api.runs.v1.run_history_service_pb2 import GetWorkspaceRequest
from runstream.core._config import WorkspaceConfig, write_config

EXPERIMENT_NAME = re.compile(r"[a-zA-Z0-9][\w\-]{0,254}", re.ASCII)

IGNORE_FILE = ".amlignore"
IGNORED = (".ipynb_checkpoints", "azureml-logs", ".azureml", ".runstream", ".git", "outputs", "azureml-setup", "docs")
"""What snapshots of the folder leave out, in the pattern language of `.gitignore`."""


@click.group(cls=Group)
def folder() -> None:
    """Attach folders to a workspace and an experiment."""


@folder.command(epilog="Example: runstream folder attach -w vision -e digits")
@pass_session
def attach(session: Session) -> None:
    """Attach a folder to a workspace and an experiment.

    Commands in the folder and below it work there, and `Workspace.from_config()` gives that workspace. The experiment
    is named after the folder unless -e says otherwise, and is made when its first run is. Writes
    .runstream/config.json, which may be shared, and to start with, where there are none, an .amlignore and the run
    configurations .azureml/local and .azureml/docker with the packages in .azureml/conda_dependencies.yml.
    """
    project = Path(session.settings.path or ".").absolute()
    if not project.is_dir():
        raise click.UsageError(f"There is no folder {project}.")
    config = _config(session.settings, project)
    services = Services(config.endpoint or find_address())
    services.call(lambda c: c.runs.GetWorkspace, GetWorkspaceRequest(name=f"workspaces/{config.workspace}"))
    written = [write_config(config, str(project), None), *_write_ignore_file(project), *write_configurations(project)]
    session.show(_document(config, project, written), CARD)


def _config(settings: Settings, project: Path) -> WorkspaceConfig:
    experiment = settings.experiment_name or project.resolve().name
    if not EXPERIMENT_NAME.fullmatch(experiment):
        raise click.UsageError(
            f"{experiment!r} cannot be the name of an experiment: letters, digits, `_` and `-`. Choose one by -e NAME."
        )
    return WorkspaceConfig(
        workspace=settings.workspace_name or DEFAULT_WORKSPACE,
        subscription_id=settings.subscription_id or "",
        resource_group=settings.resource_group or "",
        endpoint=parse_address(settings.address) if settings.address else None,
        experiment=experiment,
    )


def _write_ignore_file(project: Path) -> list[Path]:
    """Writes what snapshots leave out, unless the folder says so already; returns what was written."""
    file = project / IGNORE_FILE
    try:
        with file.open("x", encoding="utf-8") as opened:
            opened.writelines(f"{pattern}\n" for pattern in IGNORED)
    except FileExistsError:
        return []
    return [file]


def _document(config: WorkspaceConfig, project: Path, written: list[Path]) -> Document:
    return {
        "path": str(project),
        "workspace_name": config.workspace,
        "experiment_name": config.experiment,
        "endpoint": config.endpoint,
        "resource_group": config.resource_group or None,
        "subscription_id": config.subscription_id or None,
        "files": [str(file) for file in written],
    }


CARD = fields(
    Column("Folder", lambda document: document["path"]),
    Column("Workspace", lambda document: document["workspace_name"]),
    Column("Experiment", lambda document: document["experiment_name"]),
    Column("Services", lambda document: document["endpoint"]),
    Column("Written", lambda document: "\n".join(document["files"])),
)
