"""Where a command works: the workspace, the experiment and the services, from options and the project folder."""

from dataclasses import dataclass

from runstream._channel import find_address
from runstream._channel.address import parse_address
from runstream._cli.settings import Settings
from runstream.core._config import WorkspaceConfig, find_config, read_config
from runstream.exceptions import UserErrorException

DEFAULT_WORKSPACE = "default"
"""The workspace that `runstream up` makes."""

PROJECT_FOLDERS = (".runstream", ".azureml")


@dataclass(frozen=True)
class Place:
    """Where a command works."""

    workspace: str
    """The name of the workspace."""

    experiment: str | None
    """The name of the experiment; None: all of the workspace."""

    address: str
    """Where the services are: `host:port`."""


def find_place(settings: Settings) -> Place:
    """Where the options say, else the project folder, else the default workspace of the services that are found.

    An experiment of the project folder counts only in the workspace of the project folder.

    Raises:
        UserErrorException: The project folder's configuration cannot be understood, or there are no services.
    """
    config = project_config(settings.path)
    workspace = settings.workspace_name or (config.workspace if config else DEFAULT_WORKSPACE)
    attached = config.experiment if config and config.workspace == workspace else None
    endpoint = settings.address or (config.endpoint if config else None)
    return Place(
        workspace=workspace,
        experiment=settings.experiment_name or attached,
        address=parse_address(endpoint) if endpoint else find_address(),
    )


def project_config(path: str | None) -> WorkspaceConfig | None:
    """The configuration of the project folder at `path` or above it; None if there is none and no `path` was given.

    Raises:
        UserErrorException: It cannot be understood, or `path` is not in a project folder.
    """
    try:
        file = find_config(path, None, PROJECT_FOLDERS)
    except UserErrorException:
        if path:
            raise
        return None
    return read_config(file)
