"""Environments in folders and files."""

import json
import os
from pathlib import Path

from runstream.core._job.environments import EnvironmentSettings
from runstream.core._job.settings import Document, read_document, to_document
from runstream.core.conda_dependencies import CONDA_FILE_NAME, CondaDependencies
from runstream.exceptions import UserErrorException

SETTINGS_FILE_NAME = "azureml_environment.json"
DOCKERFILE_NAME = "BaseDockerfile"


def save_to_directory(environment: EnvironmentSettings, path: str | os.PathLike[str], overwrite: bool) -> None:
    """Writes an environment to a folder.

    Raises:
        UserErrorException: The folder has one, and `overwrite` is not set.
    """
    folder = Path(path)
    if (folder / SETTINGS_FILE_NAME).exists() and not overwrite:
        raise UserErrorException(f"The folder {folder} has an environment; overwrite=True replaces it.")
    folder.mkdir(parents=True, exist_ok=True)
    document = environment_document(environment)
    conda, dockerfile = document["python"].pop("condaDependencies", None), document["docker"].pop("baseDockerfile")
    _write(folder / CONDA_FILE_NAME, environment.python.conda_dependencies.serialize_to_string() if conda else None)
    _write(folder / DOCKERFILE_NAME, dockerfile)
    (folder / SETTINGS_FILE_NAME).write_text(json.dumps(document, indent=4) + "\n", "utf-8")


def read_directory(environment: EnvironmentSettings, path: str | os.PathLike[str]) -> None:
    """Takes over an environment from a folder.

    Raises:
        UserErrorException: The folder has none, or it cannot be read.
    """
    folder = Path(path)
    file = folder / SETTINGS_FILE_NAME
    try:
        document = json.loads(file.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise UserErrorException(f"The environment {file} cannot be read: {error}", error) from error
    if not isinstance(document, dict):
        raise UserErrorException(f"The environment {file} holds no JSON object.")
    read_document(environment, document, str(file))
    if (folder / DOCKERFILE_NAME).is_file():
        environment.docker.base_dockerfile = (folder / DOCKERFILE_NAME).read_text("utf-8")
    python = document.get("python") or {}
    if (folder / CONDA_FILE_NAME).is_file():
        environment.python.conda_dependencies = CondaDependencies(folder / CONDA_FILE_NAME)
    elif not python.get("condaDependencies"):
        environment.python.conda_dependencies = None


def environment_document(environment: EnvironmentSettings) -> Document:
    """An environment as a document, without credentials."""
    document = to_document(environment)
    document["docker"]["baseImageRegistry"]["password"] = None
    return document


def to_conda(
    conda_specification: str | os.PathLike[str] | None,
    pip_requirements: str | os.PathLike[str] | None,
    pip_version: str | None = None,
) -> CondaDependencies | None:
    """What is installed according to files; None without any.

    Raises:
        UserErrorException: A file cannot be read, or both are given.
    """
    if conda_specification and pip_requirements:
        raise UserErrorException("Give a conda specification or pip requirements, not both.")
    if conda_specification:
        return CondaDependencies(conda_specification)
    if not pip_requirements:
        return None
    conda = CondaDependencies()
    conda.add_conda_package(f"pip={pip_version}" if pip_version else "pip")
    conda.set_pip_requirements(pip_requirements)
    return conda


def read_dockerfile(dockerfile: str | os.PathLike[str]) -> str:
    """The text of a Dockerfile, which is given itself or by its path.

    Raises:
        UserErrorException: There is no such file.
    """
    text = os.fspath(dockerfile)
    if "\n" in text or text.lstrip()[:5].upper() == "FROM ":
        return text
    try:
        return Path(text).read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UserErrorException(f"The Dockerfile {text} cannot be read: {error}", error) from error


def _write(file: Path, text: str | None) -> None:
    if text is None:
        file.unlink(missing_ok=True)
    else:
        file.write_text(text, "utf-8")
