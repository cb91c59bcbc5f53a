"""The settings of a run configuration."""

from dataclasses import dataclass, field
from typing import Any

from runstream.core._job.environments import EnvironmentSettings
from runstream.core._job.sections import (
    DockerConfiguration,
    HistoryConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    Requirements,
    TensorflowConfiguration,
)
from runstream.core._job.settings import Settings, name_of, one_of, setting
from runstream.core.environment import Environment
from runstream.exceptions import RunConfigurationException

FRAMEWORKS = ("Python", "PySpark", "CNTK", "TensorFlow", "PyTorch")
COMMUNICATORS = ("None", "ParameterServer", "OpenMpi", "IntelMpi", "Nccl", "Gloo", "ParallelTask")
DEFAULT_ENVIRONMENT = "default-environment"


def default_environment() -> Environment:
    """The environment of a configuration that has no other one."""
    return Environment(DEFAULT_ENVIRONMENT)


def _target(value: Any) -> str:
    """A compute target by its name; None is the machine of the caller."""
    name = name_of(value)
    if name is None:
        return "local"
    if not isinstance(name, str):
        raise RunConfigurationException(f"A compute target is given by name or as an object, not by {value!r}.")
    return name


def _environment(value: Any) -> EnvironmentSettings:
    if not isinstance(value, EnvironmentSettings):
        raise RunConfigurationException(
            f"An environment must be an Environment, not {type(value).__name__}; Environment.get(ws, name) reads one."
        )
    return value


def _communicator(value: Any) -> str:
    return _one_communicator("None" if value is None else value)


_one_communicator = one_of(*COMMUNICATORS)


@dataclass(slots=True)
class RunConfigurationSettings(Settings):
    """What a run configuration says. The order is that of its document."""

    script: str | None = None
    command: Any = None
    use_absolute_path: bool = False
    arguments: Any = setting(list)
    framework: str = setting("Python", convert=one_of(*FRAMEWORKS))
    communicator: str = setting("None", convert=_communicator)
    target: Any = setting("local", convert=_target)
    data_references: dict[str, Any] = setting(dict)
    data: dict[str, Any] = setting(dict)
    output_data: dict[str, Any] = setting(dict)
    job_name: str | None = None
    max_run_duration_seconds: int | None = None
    node_count: int = 1
    priority: int | None = None
    environment: Any = setting(default_environment, convert=_environment)
    history: HistoryConfiguration = setting(HistoryConfiguration)
    tensorflow: TensorflowConfiguration = setting(TensorflowConfiguration)
    mpi: MpiConfiguration = setting(MpiConfiguration)
    pytorch: PyTorchConfiguration = setting(PyTorchConfiguration, key="pyTorch")
    parallel_task: ParallelTaskConfiguration = setting(ParallelTaskConfiguration)
    docker: DockerConfiguration = setting(DockerConfiguration)
    environment_variables: dict[str, Any] = setting(dict)
    requirements: Requirements = setting(Requirements)
    max_attempts: int = 1
    termination_grace_seconds: int | None = None
    auto_prepare_environment: bool = True
    credential_passthrough: bool = False
    identity: Any = None
    spark: dict[str, Any] = setting(dict)
    hdi: dict[str, Any] = setting(dict)
    amlcompute: dict[str, Any] = setting(dict)
    _name: str | None = field(default=None, compare=False)
    _path: str | None = field(default=None, compare=False)
