"""Finds, reads and writes the configuration file of a workspace."""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from runstream._channel.address import REMEDY
from runstream.exceptions import UserErrorException

FOLDERS = (".runstream", ".azureml", "aml_config", "")
FILE_NAMES = ("config.json", "project.json")
SCOPE = re.compile(
    r"/subscriptions/(?P<subscription>[^/]*)/resourceGroups/(?P<group>[^/]*)"
    r"/providers/Microsoft\.MachineLearningServices/workspaces/(?P<workspace>[^/]+)"
    r"(?:/projects/(?P<experiment>[^/]+))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class WorkspaceConfig:
    """What a configuration file says."""

    workspace: str
    subscription_id: str
    resource_group: str
    endpoint: str | None = None
    """`host:port` of the services; None: found as `runstream._channel.find_address` does."""

    experiment: str | None = None
    """The name of the experiment that the folder is attached to; None: it is not."""


def find_config(path: str | None, file_name: str | None, folders: Sequence[str] = FOLDERS) -> Path:
    """The configuration file that `path` names, or the first one found from there upwards.

    For each of `folders`, by default `.runstream/`, `.azureml/`, `aml_config/` and the folder itself, with
    `config.json` before `project.json`, the search walks up to the root of the file system before it tries the next.

    Raises:
        UserErrorException: There is none.
    """
    start = Path(path or ".").expanduser().absolute()
    if start.is_file():
        return start
    names = (file_name,) if file_name else FILE_NAMES
    for folder in folders:
        for name in names:
            for parent in (start, *start.parents):
                if (parent / folder / name).is_file():
                    return parent / folder / name
    raise UserErrorException(_not_found(start, names))


def read_config(file: Path) -> WorkspaceConfig:
    """Reads a configuration file of either form.

    Raises:
        UserErrorException: It is not JSON, or a key is missing.
    """
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserErrorException(f"The configuration file {file} cannot be read: {error}", error) from error
    if not isinstance(document, dict):
        raise UserErrorException(f"The configuration file {file} holds no JSON object.")
    return _from_scope(document, file) if "Scope" in document else _from_keys(document, file)


def write_config(config: WorkspaceConfig, path: str | None, file_name: str | None) -> Path:
    """Writes `config` to `<path>/.runstream/<file_name>` and returns that file."""
    file = Path(path or ".") / FOLDERS[0] / (file_name or FILE_NAMES[0])
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(_document(config), indent=4) + "\n", "utf-8")
    return file


def _from_keys(document: dict[str, Any], file: Path) -> WorkspaceConfig:
    keys = ("workspace_name", "subscription_id", "resource_group")
    missing = [key for key in keys if not isinstance(document.get(key), str)]
    if missing:
        raise UserErrorException(f"The configuration file {file} lacks {', '.join(missing)}.")
    workspace, subscription, group = (document[key] for key in keys)
    return WorkspaceConfig(workspace, subscription, group, document.get("endpoint"), document.get("experiment_name"))


def _from_scope(document: dict[str, Any], file: Path) -> WorkspaceConfig:
    scope = SCOPE.fullmatch(str(document["Scope"]))
    if scope is None:
        raise UserErrorException(
            f"The Scope in the configuration file {file} does not have the form /subscriptions/<subscription>"
            "/resourceGroups/<group>/providers/Microsoft.MachineLearningServices/workspaces/<workspace>."
        )
    return WorkspaceConfig(
        scope["workspace"], scope["subscription"], scope["group"], document.get("endpoint"), scope["experiment"]
    )


def _document(config: WorkspaceConfig) -> dict[str, Any]:
    scope = (
        f"/subscriptions/{config.subscription_id}/resourceGroups/{config.resource_group}"
        f"/providers/Microsoft.MachineLearningServices/workspaces/{config.workspace}"
    )
    project = f"/projects/{config.experiment}" if config.experiment else ""
    endpoint = {"endpoint": config.endpoint} if config.endpoint else {}
    return {"Id": None, "Scope": scope + project, **endpoint}


def _not_found(start: Path, names: tuple[str, ...]) -> str:
    expected = " or ".join(f"{FOLDERS[0]}/{name}" for name in names)
    return (
        f"No workspace configuration file was found in {start} or a folder above it: expected {expected} (the folders "
        ".azureml and aml_config are looked at too). To get one, say Workspace.get().write_config(). To do without, "
        f'use Workspace.get("default"), and {REMEDY}.'
    )
