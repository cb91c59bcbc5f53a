"""The parts of a run configuration and of an environment."""

from dataclasses import dataclass
from typing import Any

from runstream.core._job.settings import Settings, one_of, setting
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import RunConfigurationException


@dataclass(slots=True)
class HistoryConfiguration(Settings):
    """What is kept of a submitted run.

    Args:
        output_collection: Whether `./outputs` is uploaded when the run ends.
        snapshot_project: Whether the source folder is stored as the snapshot of the run; otherwise the run starts in
            an empty folder.
        directories_to_watch: Folders whose new content is uploaded while the run runs.
    """

    output_collection: bool = True
    snapshot_project: bool = True
    directories_to_watch: list[str] = setting(lambda: ["logs"])


@dataclass(slots=True)
class DockerConfiguration(Settings):
    """Whether and how a run is executed in a container.

    Args:
        use_docker: Whether it is, also where the compute target would not need it.
        shared_volumes: Accepted and not used.
        arguments: More arguments for the container engine.
        shm_size: The size of `/dev/shm`.
    """

    use_docker: bool = False
    shared_volumes: bool = True
    arguments: list[str] = setting(list)
    shm_size: str = "2g"


@dataclass(slots=True)
class MpiConfiguration(Settings):
    """Processes that MPI starts: `process_count_per_node` on each of `node_count` nodes."""

    process_count_per_node: int = 1
    node_count: int = 1


@dataclass(slots=True)
class PyTorchConfiguration(Settings):
    """Processes of `torch.distributed`.

    Args:
        communication_backend: `Nccl` or `Gloo`.
        process_count: How many processes there are on all nodes together. Default: one per node.
        node_count: On how many nodes.

    Raises:
        RunConfigurationException: The backend is another one.
    """

    communication_backend: str = setting("Nccl", convert=one_of("Nccl", "Gloo"))
    process_count: int | None = None
    node_count: int = 1


@dataclass(slots=True)
class TensorflowConfiguration(Settings):
    """Workers and parameter servers of TensorFlow."""

    worker_count: int = 1
    parameter_server_count: int = 1


@dataclass(slots=True)
class ParallelTaskConfiguration(Settings):
    """Processes that need not know of each other: `worker_count_per_node` on each of `node_count` nodes.

    `max_retries_per_worker` and `terminal_exit_codes` are accepted and not used.
    """

    max_retries_per_worker: int = 0
    worker_count_per_node: int = 1
    terminal_exit_codes: list[int] | None = None
    node_count: int = 1


DistributedJobConfiguration = (
    MpiConfiguration | PyTorchConfiguration | TensorflowConfiguration | ParallelTaskConfiguration
)


@dataclass(slots=True)
class Requirements(Settings):
    """What a run needs of an agent; SDK v1 has no such settings.

    Args:
        slots: How many of the agent's slots it takes.
        gpus: How many GPUs it takes for itself.
        labels: Labels that the agent must have, with these values.
    """

    slots: int = 1
    gpus: int = 0
    labels: dict[str, str] = setting(dict)


@dataclass(slots=True)
class ContainerRegistry(Settings):
    """Where the image of an environment is pulled from. The credentials are those of the machine or cluster."""

    address: str | None = None
    username: str | None = None
    password: str | None = None


@dataclass(slots=True)
class DockerSection(Settings):
    """The container of an environment. `enabled` is the older form of `DockerConfiguration.use_docker`."""

    enabled: bool = False
    base_image: str | None = None
    base_dockerfile: str | None = None
    base_image_registry: ContainerRegistry = setting(ContainerRegistry)
    platform: dict[str, Any] = setting(dict)
    shared_volumes: bool = True
    gpu_support: bool = False
    shm_size: str | None = None
    arguments: list[str] = setting(list)


def _conda_dependencies(value: Any) -> Any:
    if value is None or isinstance(value, CondaDependencies):
        return value
    if isinstance(value, dict):
        return CondaDependencies(_underlying_structure=value)
    raise RunConfigurationException(f"conda_dependencies must be CondaDependencies, not {type(value).__name__}.")


@dataclass(slots=True)
class PythonSection(Settings):
    """How Python is provided.

    With `user_managed_dependencies` the interpreter is used as it is, and nothing is installed. Otherwise an
    environment is made of `conda_dependencies`, or that of the name `base_conda_environment` is used.
    """

    user_managed_dependencies: bool = False
    interpreter_path: str = "python"
    conda_dependencies_file: str | None = None
    conda_dependencies: Any = setting(CondaDependencies, convert=_conda_dependencies)
    base_conda_environment: str | None = None


@dataclass(slots=True)
class SparkSection(Settings):
    """Kept from configurations of SDK v1; there is no Spark here."""

    repositories: list[str] = setting(list)
    packages: list[Any] = setting(list)
    precache_packages: bool = True
