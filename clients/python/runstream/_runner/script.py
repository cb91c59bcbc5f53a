"""The command line of a job, and the Python that executes it."""

import os
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from runstream._runner.failures import JobFailed
from runstream.api.jobs.v1.job_pb2 import JobDefinition

SHELL: Final = "/bin/sh"
DEFAULT_INTERPRETER: Final = "python"


@dataclass(frozen=True)
class Python:
    """An interpreter, with the variables that belong to its environment."""

    executable: str
    variables: Mapping[str, str] = field(default_factory=dict)
    is_found: bool = True
    """Whether `executable` is on this machine, not in a container."""

    def extend(self, variables: Mapping[str, str]) -> dict[str, str]:
        """Variables with those of the environment, whose programs are found first."""
        if not self.is_found:
            return {**variables, **self.variables}
        folder = str(Path(self.executable).parent)
        path = variables.get("PATH", os.defpath)
        return {**variables, **self.variables, "PATH": f"{folder}{os.pathsep}{path}"}


def own_python() -> Python:
    """The interpreter that executes this."""
    return Python(sys.executable)


def find_python(wanted: str, variables: Mapping[str, str]) -> Python:
    """The interpreter of a user: a path, or a command that is found by `PATH`. `python` is the one that executes this.

    Raises:
        JobFailed: There is none.
    """
    if wanted in ("", DEFAULT_INTERPRETER):
        return own_python()
    found = shutil.which(str(Path(wanted).expanduser()), path=variables.get("PATH"))
    if found is None:
        raise JobFailed("EnvironmentError", f"There is no Python interpreter {wanted!r} on this machine.")
    return Python(os.path.abspath(found))  # noqa: PTH100 - a link into an environment stays a link


def command_of(definition: JobDefinition, python: Python, folder: Path) -> list[str]:
    """The argument vector of each process of a job.

    Raises:
        JobFailed: There is no such script in the working directory.
    """
    if definition.command:
        return [SHELL, "-c", " ".join([definition.command, *map(shlex.quote, definition.arguments)])]
    if not (folder / definition.script).is_file():
        raise JobFailed("UserError", f"There is no file {definition.script!r} in the snapshot of the run.")
    return [python.executable, definition.script, *definition.arguments]
