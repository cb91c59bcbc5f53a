"""From what users write to what is submitted."""

import json
import os
import shlex
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Any, Protocol

from google.protobuf.duration_pb2 import Duration

from runstream._channel.credentials import has_credentials
from runstream.api.jobs.v1 import job_pb2 as messages
from runstream.core._job.checks import texts, variables, whole_number
from runstream.core._job.configuration_files import configuration_document
from runstream.core._job.distribution import encode_distribution
from runstream.core._job.environment_files import environment_document
from runstream.core._job.environments import encode_job_environment
from runstream.core._job.images import DEFAULT_CPU_IMAGE
from runstream.core._job.run_configuration import RunConfigurationSettings
from runstream.core._job.settings import logger
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import ExperimentExecutionException, UserErrorException

SPECIFIC_TO_V1 = ("data", "data_references", "output_data", "identity", "credential_passthrough", "hdi", "amlcompute")
"""Settings that are kept and have no effect."""

RETIRED_PACKAGE = "azureml-"
MAX_DETAILS = 256 * 1024
"""Bytes; more is not kept, and what was submitted is told by what the job executes."""


class Script(Protocol):
    """A `ScriptRunConfig`."""

    source_directory: str | os.PathLike[str] | None
    run_config: Any

    @property
    def script(self) -> str | None:
        """See `ScriptRunConfig`."""

    @property
    def command(self) -> Any:
        """See `ScriptRunConfig`."""

    @property
    def arguments(self) -> Any:
        """See `ScriptRunConfig`."""


@dataclass(frozen=True, kw_only=True)
class JobPlan:
    """What is submitted."""

    definition: messages.JobDefinition
    """What is executed, as yet without its snapshot."""

    target: str
    """The name of the compute target."""

    source_directory: Path | None
    """The folder whose snapshot is taken; None: the run starts in an empty folder."""

    max_run_duration_seconds: int | None


def check_source(source: Script) -> None:
    """Checks that there is what is to be executed, before anything is made for it.

    Raises:
        ExperimentExecutionException: There is neither script nor command, or no such folder, or no such script in it.
        UserErrorException: There are both.
    """
    _script(source, _folder(source))


def plan_job(source: Script, workspace: str | None = None) -> JobPlan:
    """Checks what a user wrote, and makes of it what is submitted to a workspace: a resource name; None: to any.

    Raises:
        ExperimentExecutionException: There is neither script nor command, or no such folder, or no such script in it.
        UserErrorException: There are both, or the arguments are no list.
        RunConfigurationException: A setting is not allowed, or does not fit another one.
    """
    configuration: RunConfigurationSettings = source.run_config
    folder = _folder(source)
    _warn_of_ignored(configuration)
    definition = messages.JobDefinition(
        script=_script(source, folder),
        command=_command(source.command),
        arguments=to_arguments(source.arguments),
        environment_variables=variables("environment_variables", configuration.environment_variables),
        distribution=encode_distribution(configuration),
        watched_directories=texts("directories_to_watch", configuration.history.directories_to_watch),
        skip_outputs=not configuration.history.output_collection,
        requirements=_requirements(configuration),
        max_attempts=whole_number("max_attempts", configuration.max_attempts),
        priority=whole_number("priority", configuration.priority or 0, least=-1000),
        container=_container(configuration),
    )
    environment = _environment(configuration, folder, definition.container.use_container)
    definition.environment.CopyFrom(encode_job_environment(environment, workspace))
    if (grace := configuration.termination_grace_seconds) is not None:
        definition.termination_grace.CopyFrom(Duration(seconds=whole_number("termination_grace_seconds", grace, 0)))
    details = json.dumps(_details(definition, configuration, environment), default=str)
    definition.details_json = details if len(details.encode()) <= MAX_DETAILS else ""
    seconds = configuration.max_run_duration_seconds
    return JobPlan(
        definition=definition,
        target=configuration.target,
        source_directory=folder if configuration.history.snapshot_project else None,
        max_run_duration_seconds=None if seconds is None else whole_number("max_run_duration_seconds", seconds),
    )


def to_arguments(arguments: object) -> list[str]:
    """Arguments as texts, each of which is one; a single text is split as a shell would, with a warning.

    Raises:
        UserErrorException: They are no list, or a text whose quotes are not closed.
    """
    if arguments is None:
        return []
    if isinstance(arguments, str):
        logger.warning("Arguments are a text and were split as a shell would; a list leaves no doubt: %r", arguments)
        try:
            return shlex.split(arguments)
        except ValueError as error:
            raise UserErrorException(f"The arguments {arguments!r} cannot be split: {error}", error) from error
    if isinstance(arguments, (bytes, Mapping)) or not isinstance(arguments, Iterable):
        raise UserErrorException(f"Arguments must be a list, not {type(arguments).__name__}.")
    return [str(each) for each in arguments]


def _folder(source: Script) -> Path:
    folder = Path(source.source_directory if source.source_directory is not None else ".")
    if not folder.is_dir():
        raise ExperimentExecutionException(f"There is no source folder {Path(os.path.normpath(folder)).absolute()}.")
    return folder


def _script(source: Script, folder: Path) -> str:
    if source.script and source.command:
        raise UserErrorException("Give a script or a command, not both.")
    if not source.script:
        if source.command:
            return ""
        raise ExperimentExecutionException("There is nothing to execute: give a script or a command.")
    script = Path(os.path.normpath(folder / source.script))
    root = Path(os.path.normpath(folder))
    if not script.is_file():
        raise ExperimentExecutionException(f"There is no script {source.script} in the folder {root.absolute()}.")
    path = PurePath(os.path.relpath(script, root))
    if path.parts[0] == "..":
        raise ExperimentExecutionException(f"The script {source.script} is not in the folder {root.absolute()}.")
    return path.as_posix()


def _command(command: object) -> str:
    if command is None or isinstance(command, str):
        return command or ""
    if isinstance(command, (bytes, Mapping)) or not isinstance(command, Iterable):
        raise UserErrorException(f"A command must be a text or a list, not {type(command).__name__}.")
    return " ".join(str(each) for each in command)


def _environment(configuration: RunConfigurationSettings, folder: Path, in_container: bool) -> Any:
    """The environment, with packages from the file that it may name, and with an image if one is needed."""
    environment = deepcopy(configuration.environment)
    python, docker = environment.python, environment.docker
    if python.conda_dependencies_file:
        python.conda_dependencies = CondaDependencies(folder / python.conda_dependencies_file)
    if in_container and not docker.base_image and not docker.base_dockerfile:
        docker.base_image = DEFAULT_CPU_IMAGE
    if python.conda_dependencies is not None and not python.user_managed_dependencies:
        _warn_of_retired(python.conda_dependencies)
        _warn_of_credentials(python.conda_dependencies)
    return environment


def _container(configuration: RunConfigurationSettings) -> messages.ContainerOptions:
    older, newer = configuration.environment.docker, configuration.docker
    if older.enabled and not newer.use_docker:
        return messages.ContainerOptions(
            use_container=True, shm_size=older.shm_size, arguments=to_arguments(older.arguments)
        )
    return messages.ContainerOptions(
        use_container=newer.use_docker, shm_size=newer.shm_size, arguments=to_arguments(newer.arguments)
    )


def _requirements(configuration: RunConfigurationSettings) -> messages.JobRequirements:
    wanted = configuration.requirements
    return messages.JobRequirements(
        slots=whole_number("slots", wanted.slots),
        gpus=whole_number("gpus", wanted.gpus, least=0),
        labels=variables("labels", wanted.labels),
    )


def _details(
    definition: messages.JobDefinition, configuration: RunConfigurationSettings, environment: Any
) -> dict[str, Any]:
    """The run definition that is kept with the run."""
    return configuration_document(configuration) | {
        "environment": environment_document(environment),
        "script": definition.script or None,
        "command": definition.command or None,
        "arguments": list(definition.arguments),
    }


def _warn_of_ignored(configuration: RunConfigurationSettings) -> None:
    ignored = [name for name in SPECIFIC_TO_V1 if getattr(configuration, name)]
    if not configuration.docker.shared_volumes:
        ignored.append("docker.shared_volumes")
    if configuration.environment.spark.packages:
        ignored.append("environment.spark.packages")
    if ignored:
        logger.warning("These settings of the run configuration have no effect: %s", ", ".join(ignored))


def _warn_of_retired(conda: CondaDependencies) -> None:
    retired = [each for each in conda.pip_packages if each.startswith(RETIRED_PACKAGE)]
    if retired:
        logger.warning(
            "The environment installs packages of the retired SDK, which its script may no longer need: %s",
            ", ".join(retired),
        )


def _warn_of_credentials(conda: CondaDependencies) -> None:
    if any(has_credentials(each) for each in (*conda.pip_options, *conda.pip_packages, *conda.conda_channels)):
        logger.warning(
            "The environment has a password or token in an address, which everybody can read who can read the run. Put "
            "it into ~/.netrc of the machines that execute the run, and the address without it here."
        )
