"""Finds conda environments that exist."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runstream._runner.environments.building import Console, interpreter
from runstream._runner.environments.specification import ENVIRONMENT_ERROR
from runstream._runner.failures import JobFailed

KNOWN: Final = ".conda/environments.txt"
"""Where conda and mamba write down, below the home folder, which environments there are."""
ROOTS: Final = ("MAMBA_ROOT_PREFIX", "CONDA_PREFIX", "CONDA_ROOT", "CONDA_PREFIX_1")


def find_conda_environment(wanted: str, variables: Mapping[str, str], console: Console) -> Path:
    """The folder of a conda environment, by its path or name.

    Raises:
        JobFailed: There is none.
    """
    for prefix in (Path(wanted).expanduser(), *_known(wanted, variables)):
        if interpreter(prefix).exists():
            console.say(f"Using the conda environment {prefix}")
            return Path(os.path.abspath(prefix))  # noqa: PTH100 - it is known by this name
    raise JobFailed(ENVIRONMENT_ERROR, f"There is no conda environment {wanted!r} where the run executes.")


def _known(name: str, variables: Mapping[str, str]) -> list[Path]:
    roots = [Path(variables[root]) for root in ROOTS if variables.get(root)]
    if executable := variables.get("CONDA_EXE"):
        roots.append(Path(executable).parent.parent)
    found = [root if name == "base" else root / "envs" / name for root in roots]
    found += [root.parent / name for root in roots if root.parent.name == "envs"]
    return found + [path for path in _written_down() if path.name == name]


def _written_down() -> list[Path]:
    try:
        return [Path(line) for line in (Path.home() / KNOWN).read_text("utf-8").splitlines() if line]
    except (OSError, RuntimeError):
        return []
