"""What `experiment.submit` takes: a script, and how it is executed."""

import logging
import os
from typing import Any

from runstream.core._environment import EnvironmentCalls
from runstream.core._job.distribution import distribute
from runstream.core._job.run_definition import read_run_definition
from runstream.core._job.sections import DistributedJobConfiguration, DockerConfiguration
from runstream.core.compute_target import ComputeTarget
from runstream.core.run import Run
from runstream.core.runconfig import RunConfiguration
from runstream.exceptions import UserErrorException

__all__ = ["ScriptRunConfig", "get_run_config_from_script_run"]

logger = logging.getLogger("runstream")

THIRTY_DAYS = 2592000
PLACES = {
    "compute_target": "set run_config.target",
    "docker_runtime_config": "set run_config.docker",
    "distributed_job_config": "give it when the ScriptRunConfig is made",
}
"""What to do with options that are no attributes, and not called so in the run configuration."""


class ScriptRunConfig:
    """A script or command, and how it is executed.

        src = ScriptRunConfig(".", "train.py", ["--alpha", 0.5], environment=env, compute_target="gpu-pool")
        run = experiment.submit(src)

    What is set on `src` and on `src.run_config` until it is submitted takes effect. To assign an attribute that does
    not exist raises AttributeError.

    Args:
        source_directory: The folder that is stored as the snapshot of the run. Default, when None: the current one.
        script: The script, a path in that folder.
        arguments: Its arguments; each becomes one, as text. A single text is split as a shell would, with a warning.
        run_config: How it is executed. With it, `compute_target`, `environment`, `distributed_job_config`,
            `max_run_duration_seconds` and `docker_runtime_config` have no effect, which is warned of.
        compute_target: Where it is executed: a name or a compute target. Default: this machine.
        environment: What is installed. Default: an environment named `default-environment` with nothing but Python.
        distributed_job_config: How several processes work together. Default: one process.
        resume_from: There are no data paths here: every value but None is refused.
        max_run_duration_seconds: When it is stopped; kept as `run_config.max_run_duration_seconds`.
        command: A command line for a shell, in the place of `script`: a text, or a list that is joined with blanks.
        docker_runtime_config: Whether and how it runs in a container.

    Raises:
        UserErrorException: Both `script` and `command` are given, or `resume_from`.
        RunConfigurationException: `distributed_job_config` is none, or has a backend that there is not.
    """

    __slots__ = ("__weakref__", "_arguments", "_command", "_script", "run_config", "source_directory")

    def __init__(
        self,
        source_directory: str | os.PathLike[str] | None,
        script: str | None = None,
        arguments: Any = None,
        run_config: RunConfiguration | None = None,
        _telemetry_values: object = None,
        compute_target: str | ComputeTarget | None = None,
        environment: EnvironmentCalls | None = None,
        distributed_job_config: DistributedJobConfiguration | None = None,
        resume_from: object = None,
        max_run_duration_seconds: int | None = THIRTY_DAYS,
        command: str | list[Any] | None = None,
        docker_runtime_config: DockerConfiguration | None = None,
    ) -> None:
        if script and command:
            raise UserErrorException("Give a script or a command, not both.")
        if resume_from is not None:
            raise UserErrorException(
                "resume_from must be a DataPath, and Runstream has no data paths: let the script load its checkpoint, "
                "and tell it by an argument which one."
            )
        self.source_directory = source_directory
        self._script, self._command, self._arguments = script, command, arguments
        given = {
            "compute_target": compute_target,
            "environment": environment,
            "distributed_job_config": distributed_job_config,
            "max_run_duration_seconds": max_run_duration_seconds if max_run_duration_seconds != THIRTY_DAYS else None,
            "docker_runtime_config": docker_runtime_config,
        }
        if run_config is not None:
            _warn_of_ignored([name for name, value in given.items() if value is not None])
            self.run_config = run_config
            return
        self.run_config = RunConfiguration()
        self.run_config.target = compute_target
        self.run_config.max_run_duration_seconds = max_run_duration_seconds
        if environment is not None:
            self.run_config.environment = environment
        if docker_runtime_config is not None:
            self.run_config.docker = docker_runtime_config
        distribute(self.run_config, distributed_job_config)

    def __setattr__(self, name: str, value: object) -> None:
        """Sets an attribute that exists."""
        try:
            object.__setattr__(self, name, value)
        except AttributeError:
            raise AttributeError(_no_attribute(name)) from None

    @property
    def script(self) -> str | None:
        """The script, a path in the source folder; that of `run_config` unless a script or command is set here."""
        return self._script if self._has_program else self.run_config.script

    @script.setter
    def script(self, script: str | None) -> None:
        self._script = script

    @property
    def command(self) -> Any:
        """The command line; that of `run_config` unless a script or command is set here."""
        return self._command if self._has_program else self.run_config.command

    @command.setter
    def command(self, command: Any) -> None:
        self._command = command

    @property
    def arguments(self) -> Any:
        """The arguments of the script; those of `run_config` unless they are set here."""
        return self._arguments if self._arguments is not None else self.run_config.arguments

    @arguments.setter
    def arguments(self, arguments: Any) -> None:
        self._arguments = arguments

    @property
    def _has_program(self) -> bool:
        return bool(self._script or self._command)

    def __repr__(self) -> str:
        program = f"script={self.script!r}" if self.script else f"command={self.command!r}"
        return (
            f"ScriptRunConfig(source_directory={self.source_directory!r}, {program}, arguments={self.arguments!r}, "
            f"target={self.run_config.target!r})"
        )


def get_run_config_from_script_run(run: Run) -> RunConfiguration:
    """The run configuration that a run was submitted with.

    Raises:
        UserErrorException: The run was not submitted.
    """
    definition = run.get_details().get("runDefinition")
    if not definition:
        raise UserErrorException(f"Run {run.id} was not submitted: it has no run configuration.")
    configuration = RunConfiguration()
    read_run_definition(configuration, definition)
    return configuration


def _no_attribute(name: str) -> str:
    remedy = PLACES.get(name) or (f"set run_config.{name}" if hasattr(RunConfiguration, name) else "")
    return f"ScriptRunConfig has no attribute {name!r}" + (f"; {remedy}." if remedy else ".")


def _warn_of_ignored(names: list[str]) -> None:
    if names:
        logger.warning(
            "%s: ignored, because run_config is given; set the attributes of run_config instead.", ", ".join(names)
        )
