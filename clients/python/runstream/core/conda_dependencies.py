"""Conda specifications: which Python and which packages an environment has."""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

from runstream.exceptions import UserErrorException

__all__ = ["PYTHON_DEFAULT_VERSION", "CondaDependencies"]

PYTHON_DEFAULT_VERSION = f"{sys.version_info.major}.{sys.version_info.minor}"
"""The version of Python that specifications ask for unless they say another one: that of this process."""

CONDA_FILE_NAME = "conda_dependencies.yml"
NAME = "project_environment"
OWN_PACKAGE = "runstream"
PACKAGE_NAME = re.compile(r"(?:[^:\s]+::)?([A-Za-z0-9][A-Za-z0-9._-]*)(?=$|[\s<>=!~;@\[,(])")


class CondaDependencies:
    """A conda specification: channels, conda packages and pip packages.

        dependencies = CondaDependencies.create(pip_packages=["scikit-learn"], python_version="3.12")
        dependencies.add_pip_package("pandas>=2")
        dependencies.save("environment.yml")

    A specification of nothing but Python, pip and pip packages needs no conda where the run is executed.

    Args:
        conda_dependencies_file_path: A file to begin with. Default: Python of the version of this process, and no more.

    Raises:
        UserErrorException: The file cannot be read, or is no conda specification.
    """

    def __init__(
        self,
        conda_dependencies_file_path: str | os.PathLike[str] | None = None,
        _underlying_structure: Mapping[str, Any] | None = None,
    ) -> None:
        if conda_dependencies_file_path is not None:
            structure: Any = _read(Path(conda_dependencies_file_path))
        elif _underlying_structure is not None:
            structure = _underlying_structure
        else:
            structure = {"name": NAME, "dependencies": [f"python={PYTHON_DEFAULT_VERSION}"]}
        self._document = _checked(structure, str(conda_dependencies_file_path or "The conda specification"))

    @classmethod
    def create(
        cls,
        pip_indexurl: str | None = None,
        pip_packages: Iterable[str] | None = None,
        conda_packages: Iterable[str] | None = None,
        python_version: str = PYTHON_DEFAULT_VERSION,
        pin_sdk_version: bool = True,
    ) -> "CondaDependencies":
        """A specification of these packages.

        With `pin_sdk_version` the package `runstream`, if it is there without a version, gets that of this process.

            CondaDependencies.create(pip_packages=["scikit-learn==1.7.2"], conda_packages=["openblas"])

        Raises:
            UserErrorException: Packages are a single text, which is no list.
        """
        made = cls()
        made.set_python_version(python_version)
        for package in _listed("conda_packages", conda_packages):
            made.add_conda_package(package)
        for package in _listed("pip_packages", pip_packages):
            made.add_pip_package(_pinned(package) if pin_sdk_version else package)
        if pip_indexurl:
            made.set_pip_option(f"--index-url {pip_indexurl}")
        return made

    @property
    def python_version(self) -> str | None:
        """The version of Python that is asked for; None: any."""
        for package in self.conda_packages:
            if _name(package) == "python":
                return package.strip().rpartition("::")[2][len("python") :].strip(" =") or None
        return None

    def get_python_version(self) -> str | None:
        """As `python_version`."""
        return self.python_version

    def set_python_version(self, version: str) -> None:
        """Asks for a version of Python, `3.12` for example."""
        if any(_name(each) == "python" for each in self.conda_packages):
            self.add_conda_package(f"python={version}")
        else:
            self._dependencies.insert(0, f"python={version}")

    @property
    def conda_packages(self) -> Iterator[str]:
        """The conda packages, Python among them."""
        return (each for each in self._dependencies if isinstance(each, str))

    @property
    def pip_packages(self) -> Iterator[str]:
        """The pip packages, without options."""
        return (each for each in self._pip() if not each.startswith("-"))

    @property
    def pip_options(self) -> Iterator[str]:
        """The options of pip, `--index-url URL` for example."""
        return (each for each in self._pip() if each.startswith("-"))

    @property
    def conda_channels(self) -> Iterator[str]:
        """The channels, those of the highest priority first."""
        return iter(self._document.get("channels", []))

    def add_conda_package(self, conda_package: str) -> None:
        """Adds a conda package, `numpy=2.1` for example, in the place of one of the same name."""
        _put(self._dependencies, conda_package)

    def remove_conda_package(self, conda_package: str) -> None:
        """Removes the conda package of this name, if there is one."""
        _drop(self._dependencies, conda_package)

    def add_pip_package(self, pip_package: str) -> None:
        """Adds a pip package, `numpy>=2.1` for example, in the place of one of the same name."""
        _put(self._made_pip(), pip_package)

    def remove_pip_package(self, pip_package: str) -> None:
        """Removes the pip package of this name, if there is one."""
        _drop(self._pip(), pip_package)

    def set_pip_option(self, pip_option: str) -> None:
        """Adds an option of pip, in the place of the same option with another value."""
        packages, option = self._made_pip(), pip_option.split(maxsplit=1)[0].partition("=")[0]
        same = [each for each in packages if re.match(rf"{re.escape(option)}(?:[\s=]|$)", each)]
        for each in same:
            packages.remove(each)
        packages.insert(sum(each.startswith("-") for each in packages), pip_option)

    def set_pip_requirements(self, pip_requirements: str | os.PathLike[str]) -> None:
        """Takes the pip packages and options from a requirements file, in the place of those there are.

        Raises:
            UserErrorException: There is no such file.
        """
        self._made_pip()[:] = read_requirements(Path(pip_requirements))

    def add_channel(self, channel: str) -> None:
        """Adds a channel, with the lowest priority."""
        channels = self._document.setdefault("channels", [])
        if channel not in channels:
            channels.append(channel)

    def remove_channel(self, channel: str) -> None:
        """Removes a channel, if it is there."""
        self._document["channels"] = [each for each in self.conda_channels if each != channel]

    def as_dict(self) -> dict[str, Any]:
        """The specification as a document; a copy."""
        return deepcopy(self._document)

    def serialize_to_string(self) -> str:
        """The specification as YAML."""
        import yaml

        order = [key for key in ("name", "channels", "dependencies") if key in self._document]
        ordered = {key: self._document[key] for key in [*order, *(key for key in self._document if key not in order)]}
        text: str = yaml.safe_dump(ordered, sort_keys=False, allow_unicode=True, default_flow_style=False, width=1000)
        return text

    def save(self, path: str | os.PathLike[str] | None = None) -> str:
        """Writes the specification to a file, `conda_dependencies.yml` by default, and returns its path."""
        file = Path(path or CONDA_FILE_NAME)
        if file.is_dir():
            file = file / CONDA_FILE_NAME
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(self.serialize_to_string(), "utf-8")
        return str(file)

    def save_to_file(self, base_directory: str | os.PathLike[str], conda_file_path: str | None = None) -> str:
        """Writes the specification to a file in a folder, and returns the path of the file in there."""
        name = conda_file_path or CONDA_FILE_NAME
        self.save(Path(base_directory) / name)
        return name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CondaDependencies) and self._document == other._document

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"CondaDependencies({self._document})"

    @property
    def _dependencies(self) -> list[Any]:
        found: list[Any] = self._document.setdefault("dependencies", [])
        return found

    def _pip(self) -> list[str]:
        for each in self._dependencies:
            if isinstance(each, dict) and "pip" in each:
                found: list[str] = each["pip"]
                return found
        return []

    def _made_pip(self) -> list[str]:
        """The list of pip packages, made if there is none; pip itself is then asked for as well."""
        if not any(isinstance(each, dict) and "pip" in each for each in self._dependencies):
            if not any(_name(each) == "pip" for each in self.conda_packages):
                self._dependencies.append("pip")
            self._dependencies.append({"pip": []})
        return self._pip()


def read_requirements(file: Path) -> list[str]:
    """The lines of a requirements file that are no comments.

    Raises:
        UserErrorException: It cannot be read.
    """
    try:
        text = file.read_text("utf-8")
    except (OSError, ValueError) as error:
        raise UserErrorException(f"The requirements file {file} cannot be read: {error}", error) from error
    lines = (re.sub(r"(^|\s)#.*", "", line).strip() for line in text.replace("\\\n", " ").splitlines())
    return [line for line in lines if line]


def _listed(name: str, packages: Iterable[str] | None) -> Iterable[str]:
    if isinstance(packages, str):
        raise UserErrorException(f"{name} must be a list: [{packages!r}].")
    return packages or ()


def _name(package: str) -> str:
    """The name of a package, as it is compared."""
    found = PACKAGE_NAME.match(package.strip())
    return re.sub(r"[-_.]+", "-", found[1]).lower() if found else package.strip()


def _put(packages: list[Any], package: str) -> None:
    for index, each in enumerate(packages):
        if isinstance(each, str) and _name(each) == _name(package):
            packages[index] = package
            return
    pip = [index for index, each in enumerate(packages) if isinstance(each, dict)]
    packages.insert(pip[0] if pip else len(packages), package)


def _drop(packages: list[Any], package: str) -> None:
    packages[:] = [each for each in packages if not (isinstance(each, str) and _name(each) == _name(package))]


def _pinned(package: str) -> str:
    from runstream.core import VERSION

    return f"{OWN_PACKAGE}~={VERSION}" if package.strip().lower() == OWN_PACKAGE else package


def _read(file: Path) -> Any:
    import yaml

    try:
        return yaml.safe_load(file.read_text("utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserErrorException(f"The conda specification {file} cannot be read: {error}", error) from error


def _checked(structure: Any, where: str) -> dict[str, Any]:
    """A copy of a specification, with texts for everything that names a package."""
    if structure is None:
        structure = {}
    if not isinstance(structure, Mapping):
        raise UserErrorException(f"{where} must have keys and values, `dependencies` for example.")
    document = {str(key): deepcopy(value) for key, value in structure.items()}
    document["channels"] = _texts(document.get("channels"), f"{where}: channels")
    document["dependencies"] = _checked_dependencies(document.get("dependencies"), f"{where}: dependencies")
    return document if document["channels"] else {key: value for key, value in document.items() if key != "channels"}


def _checked_dependencies(dependencies: Any, where: str) -> list[Any]:
    if not isinstance(dependencies, (list, type(None))):
        raise UserErrorException(f"{where} must be a list.")
    checked: list[Any] = []
    for each in dependencies or ():
        if isinstance(each, Mapping):
            checked.append({str(key): _texts(value, f"{where}: {key}") for key, value in each.items()})
        else:
            checked += _texts([each], where)
    return checked


def _texts(values: Any, where: str) -> list[str]:
    if values is None:
        return []
    if not isinstance(values, list) or any(isinstance(each, (list, dict, type(None))) for each in values):
        raise UserErrorException(f"{where} must be a list of texts, not {values!r}.")
    return [str(each) for each in values]
