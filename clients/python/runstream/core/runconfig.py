"""Run configurations: how a script is executed."""

import os
from pathlib import Path
from typing import Any

from runstream.core._job.configuration_files import delete_configuration, load_configuration, save_configuration
from runstream.core._job.run_configuration import RunConfigurationSettings
from runstream.core._job.sections import (
    DockerConfiguration,
    HistoryConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    TensorflowConfiguration,
)
from runstream.core._job.settings import reset
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import RunConfigurationException

__all__ = [
    "DEFAULT_CPU_IMAGE",
    "DEFAULT_GPU_IMAGE",
    "DockerConfiguration",
    "HistoryConfiguration",
    "MpiConfiguration",
    "ParallelTaskConfiguration",
    "PyTorchConfiguration",
    "RunConfiguration",
    "TensorflowConfiguration",
]

from runstream.core._job.images import DEFAULT_CPU_IMAGE, DEFAULT_GPU_IMAGE


class RunConfiguration(RunConfigurationSettings):
    """How a script is executed: where, in which environment, in how many processes.

        rc = RunConfiguration()
        rc.target = "gpu-pool"
        rc.environment = Environment.get(ws, "digits")
        rc.save(".", "gpu")                     # .azureml/gpu, for `runstream run submit-script -c gpu`

    To assign an attribute that does not exist raises AttributeError.

    Raises:
        RunConfigurationException: `framework` or `communicator` is none of those that there are.
    """

    def __init__(
        self,
        script: str | None = None,
        arguments: list[Any] | None = None,
        framework: str | None = None,
        communicator: str | None = None,
        conda_dependencies: CondaDependencies | None = None,
        _history_enabled: bool | None = None,
        _path: str | os.PathLike[str] | None = None,
        _name: str | None = None,
        command: str | list[str] | None = None,
    ) -> None:
        reset(self)
        self.environment_variables = self.environment.environment_variables
        self.script, self.command, self.arguments = script, command, arguments if arguments is not None else []
        self.framework, self.communicator = framework or "Python", communicator or "None"
        if conda_dependencies is not None:
            self.environment.python.conda_dependencies = conda_dependencies
        self._path, self._name = os.fspath(_path) if _path is not None else None, _name

    def __setattr__(self, name: str, value: object) -> None:
        """Sets an attribute that exists. Variables are set in the environment too while that is the default one."""
        if name == "environment_variables" and self._shares_variables():
            self.environment.environment_variables = value
        RunConfigurationSettings.__setattr__(self, name, value)

    def _shares_variables(self) -> bool:
        mine = getattr(self, "environment_variables", None)
        return mine is not None and self.environment.environment_variables is mine

    def save(
        self,
        path: str | os.PathLike[str] | None = None,
        name: str | None = None,
        separate_environment_yaml: bool = False,
    ) -> None:
        """Writes the configuration to `<path>/.azureml/<name>`, and its packages to `conda_dependencies.yml` beside it.

        Path and name are by default those the configuration was read from, and the current folder. With
        `separate_environment_yaml` the environment is written to a file `environment.yml` of its own.

        Raises:
            RunConfigurationException: There is no name.
        """
        name = name or self._name
        if not name:
            raise RunConfigurationException('A run configuration is saved under a name: rc.save(".", "local").')
        folder = Path(path if path is not None else self._path or ".")
        save_configuration(self, folder, name, separate_environment_yaml)
        self._path, self._name = str(folder), name

    @staticmethod
    def load(path: str | os.PathLike[str], name: str | None = None) -> "RunConfiguration":
        """Reads a configuration, also one that SDK v1 wrote.

        It is the file `<name>`, else `<name>.runconfig`, in `.azureml`, else in `.runstream`, else in `aml_config`,
        else in `path` itself. Without a name, `path` is the file.

        Raises:
            RunConfigurationException: There is no such file, it is no YAML, or a value is not allowed.
        """
        configuration = RunConfiguration()
        load_configuration(configuration, Path(path), name)
        return configuration

    @staticmethod
    def delete(path: str | os.PathLike[str], name: str) -> None:
        """Deletes the file of a configuration; those with its packages stay.

        Raises:
            RunConfigurationException: There is none of this name.
        """
        delete_configuration(Path(path), name)
