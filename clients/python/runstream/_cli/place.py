"""Where a command works: the workspace, the experiment and the services, from options and the project folder."""

from dataclasses import dataclass

from runstream._channel.address import find_address_and_source, parse_address
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

    source: str
    """What gave the address: `--address`, `the project folder`, or as `find_address_and_source` says."""


def find_place(settings: Settings) -> Place:
    """Where the options say, else the project folder, else the default workspace of the services that are found.

    An experiment of the project folder counts only in the workspace of the project folder.

    Raises:
        UserErrorException: The project folder's configuration cannot be understood, or there are no services.
    """
    config = project_config(settings.path)
    workspace = settings.workspace_name or (config.workspace if config else DEFAULT_WORKSPACE)
    attached = config.experiment if config and config.workspace == workspace else None
    address, source = _find_address(settings, config)
    return Place(workspace, settings.experiment_name or attached, address, source)


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


def _find_address(settings: Settings, config: WorkspaceConfig | None) -> tuple[str, str]:
    if settings.address:
        return parse_address(settings.address), "--address"
    if config and config.endpoint:
        return parse_address(config.endpoint), "the project folder"
    return find_address_and_source()
