"""Files of run configurations, those of SDK v1 included."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runstream.core._job.environment_files import environment_document
from runstream.core._job.run_configuration import RunConfigurationSettings
from runstream.core._job.settings import Document, read_document, to_document
from runstream.core.conda_dependencies import CONDA_FILE_NAME, CondaDependencies
from runstream.exceptions import RunConfigurationException

FOLDER = ".azureml"
FOLDERS = (FOLDER, ".runstream", "aml_config", "")
SUFFIXES = ("", ".runconfig")
ENVIRONMENT_FILE_NAME = "environment.yml"


def save_configuration(configuration: RunConfigurationSettings, project: Path, name: str, apart: bool) -> None:
    """Writes a configuration to the folder `.azureml` of a project; with `apart` the environment to its own file.

    Raises:
        RunConfigurationException: The name is not that of a file.
    """
    if Path(name).name != name or "\\" in name:
        raise RunConfigurationException(f"{name!r} cannot be the name of a run configuration: it names a file.")
    folder = project / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    document = configuration_document(configuration)
    _save_conda(configuration, document["environment"]["python"], folder, name)
    if apart:
        text = _to_yaml(document["environment"])
        document["environment"] = _save_beside(folder, name, ENVIRONMENT_FILE_NAME, text)
    (folder / name).write_text(_to_yaml(document), "utf-8")


def load_configuration(configuration: RunConfigurationSettings, path: Path, name: str | None) -> None:
    """Takes over what the file of a configuration says.

    Raises:
        RunConfigurationException: There is no such file, it is no YAML, or a value is not allowed.
    """
    file = find_configuration(path, name)
    project = file.parent.parent if file.parent.name in FOLDERS else file.parent
    document = _read_yaml(file)
    key = next((key for key in document if str(key).casefold() == "environment"), "environment")
    if isinstance(document.get(key), str):
        document[key] = _read_yaml(_beside(file, project, document[key]))
    read_document(configuration, document, str(file))
    _read_conda(configuration, document.get(key) or {}, file, project)
    if not any(str(each).casefold() == "environmentvariables" for each in document):  # SDK v1 has them there only
        configuration.environment_variables = configuration.environment.environment_variables
    configuration._path, configuration._name = str(project), name or file.name


def delete_configuration(path: Path, name: str) -> None:
    """Deletes the file of a configuration.

    Raises:
        RunConfigurationException: There is none of this name.
    """
    find_configuration(path, name).unlink()


def find_configuration(path: Path, name: str | None) -> Path:
    """The file of a configuration: `path` itself without a name.

    Raises:
        RunConfigurationException: There is none.
    """
    if name is None:
        candidates = [path]
    else:
        candidates = [path / folder / f"{name}{suffix}" for folder in FOLDERS for suffix in SUFFIXES]
    for file in candidates:
        if file.is_file():
            return file
    there = ", ".join(sorted({file.name for file in _configurations(path)})) if name else ""
    hint = f" There are: {there}." if there else ""
    raise RunConfigurationException(f"There is no run configuration {name or path} in {path}.{hint}")


def configuration_document(configuration: RunConfigurationSettings) -> Document:
    """A configuration as a document, without credentials."""
    document = to_document(configuration)
    document["environment"] = environment_document(configuration.environment)
    return document


def _save_conda(configuration: RunConfigurationSettings, python: Document, folder: Path, name: str) -> None:
    """Writes the packages to a file beside the configuration, unless that names one already."""
    conda = configuration.environment.python.conda_dependencies
    if python["condaDependenciesFile"] is None and conda is not None:
        python["condaDependenciesFile"] = _save_beside(folder, name, CONDA_FILE_NAME, conda.serialize_to_string())
    if python["condaDependenciesFile"] is not None:
        python.pop("condaDependencies")


def _read_conda(configuration: RunConfigurationSettings, environment: Document, file: Path, project: Path) -> None:
    """Takes over the packages from the file that the configuration names, unless it has them itself."""
    python = configuration.environment.python
    given = {str(key).casefold(): value for key, value in (environment.get("python") or {}).items()}
    named, python.conda_dependencies_file = python.conda_dependencies_file, None
    if given.get("condadependencies"):
        return
    conda = _beside(file, project, named) if named else None
    if conda and conda.is_file():
        python.conda_dependencies = CondaDependencies(conda)
    elif conda and not python.user_managed_dependencies:
        raise RunConfigurationException(f"The run configuration {file} names {named}, which does not exist.")
    elif "condadependencies" in given:
        python.conda_dependencies = None


def _beside(file: Path, project: Path, name: str) -> Path:
    """A file that a configuration names: relative to the project, else to the configuration."""
    named = project / name.replace("\\", "/")
    return named if named.is_file() else file.parent / Path(name.replace("\\", "/")).name


def _save_beside(folder: Path, name: str, wanted: str, text: str) -> str:
    """Writes a file that a configuration names; under a name of its own if another configuration has another text."""
    file = folder / wanted
    if file.is_file() and file.read_text("utf-8") != text:
        others = [each for each in _configurations(folder.parent) if each != folder / name]
        if any(f"{FOLDER}/{wanted}" in each.read_text("utf-8", "replace") for each in others):
            file = folder / f"{name}_{wanted}"
    file.write_text(text, "utf-8")
    return f"{FOLDER}/{file.name}"


def _configurations(project: Path) -> Iterator[Path]:
    """The files in the folders of configurations that may be some."""
    for folder in FOLDERS[:-1]:
        if (project / folder).is_dir():
            found = sorted((project / folder).iterdir())
            yield from (each for each in found if each.is_file() and each.suffix in ("", ".runconfig"))


def _read_yaml(file: Path) -> Document:
    import yaml

    try:
        document: Any = yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise RunConfigurationException(f"The run configuration {file} cannot be read: {error}", error) from error
    if not isinstance(document, dict):
        raise RunConfigurationException(f"The run configuration {file} has no keys and values.")
    return document


def _to_yaml(document: Document) -> str:
    """A document as YAML; what YAML has no word for, a number of numpy for example, becomes its text."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Knows every object."""

    Dumper.add_multi_representer(object, lambda dumper, value: dumper.represent_str(str(value)))
    text: str = yaml.dump(
        document, Dumper=Dumper, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000
    )
    return text
