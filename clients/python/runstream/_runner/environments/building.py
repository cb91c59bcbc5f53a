"""Makes environments."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from runstream._channel.threads import in_thread
from runstream._runner.environments.sdk import MINIMUM_PYTHON, add_sdk, sdk_requirements
from runstream._runner.environments.specification import ENVIRONMENT_ERROR, Specification
from runstream._runner.failures import JobFailed

REQUIREMENTS: Final = "runstream-requirements.txt"


class Console(Protocol):
    """Where the making of an environment is told of."""

    async def run(self, command: Sequence[str]) -> int:
        """Runs a program that prints there; its exit code."""

    def say(self, text: str) -> None:
        """Adds a line."""

    def write(self, name: str, text: str) -> Path:
        """Makes a file beside the log, in a folder of its own."""


@dataclass(frozen=True)
class Tools:
    """The programs to use."""

    python: str
    """The interpreter to make virtual environments of; empty: uv finds one of the wanted version."""
    uv: str
    conda: str


async def make_environment(folder: Path, wanted: Specification, tools: Tools, console: Console) -> None:
    """Makes an environment.

    Raises:
        JobFailed: It cannot be made; the message says why.
        OSError: Something cannot be written.
    """
    if wanted.conda:
        await _make_conda(folder, wanted, tools, console)
    else:
        await _make_virtual(folder, wanted, tools, console)
    requirements = await _requirements(folder, wanted, console)
    await _install(folder, requirements, tools, console)
    await in_thread(add_sdk, _site_packages(folder))


def interpreter(folder: Path) -> Path:
    """The interpreter of an environment."""
    return folder / "bin" / "python"


async def _make_virtual(folder: Path, wanted: Specification, tools: Tools, console: Console) -> None:
    python = tools.python or wanted.python
    if tools.uv:
        command = [tools.uv, "venv", "--no-project", "--python", python, str(folder)]
    else:
        command = [tools.python, "-m", "venv", str(folder)]
    if not python or await console.run(command):
        raise JobFailed(ENVIRONMENT_ERROR, f"No Python {wanted.python} can be had on this machine; {_remedy(tools)}.")


async def _make_conda(folder: Path, wanted: Specification, tools: Tools, console: Console) -> None:
    if not tools.conda:
        raise JobFailed(
            ENVIRONMENT_ERROR,
            f"The environment has conda packages ({', '.join(wanted.conda[:5])}), and neither micromamba, mamba nor "
            "conda is installed where the run executes. Install one of them there, or name the packages under `pip`.",
        )
    channels = [part for channel in wanted.channels or ("conda-forge",) for part in ("-c", channel)]
    python = f"python{wanted.python if wanted.python[:1] in '<>!=~' else f'={wanted.python}'}" if wanted.python else ""
    packages = [python or f"python={sys.version_info[0]}.{sys.version_info[1]}", "pip", *wanted.conda]
    if await console.run([tools.conda, "create", "--yes", "--prefix", str(folder), *channels, *packages]):
        raise JobFailed(ENVIRONMENT_ERROR, "The conda environment could not be made; the log of the build says why.")


async def _requirements(folder: Path, wanted: Specification, console: Console) -> list[str]:
    if _version_of(folder) >= MINIMUM_PYTHON:
        return [*wanted.pip, *sdk_requirements()]
    needed = ".".join(map(str, MINIMUM_PYTHON))
    console.say(f"The Runstream SDK needs Python {needed}: programs of this environment cannot import it.")
    return list(wanted.pip)


async def _install(folder: Path, requirements: Sequence[str], tools: Tools, console: Console) -> None:
    file = folder / REQUIREMENTS
    file.write_text("\n".join(requirements) + "\n", "utf-8")
    python = str(interpreter(folder))
    if not requirements:
        return
    if tools.uv:
        command = [tools.uv, "pip", "install", "--python", python, "-r", str(file)]
    else:
        command = [python, "-m", "pip", "install", "--disable-pip-version-check", "-r", str(file)]
    if await console.run(command):
        raise JobFailed(ENVIRONMENT_ERROR, "Packages could not be installed; the log of the build says why.")


def _site_packages(folder: Path) -> Path:
    found = sorted((folder / "lib").glob("python3*/site-packages"))
    if not found:
        raise JobFailed(ENVIRONMENT_ERROR, f"{folder} is no Python environment.")
    return found[0]


def _version_of(folder: Path) -> tuple[int, ...]:
    name = _site_packages(folder).parent.name.removeprefix("python")
    return tuple(int(part) for part in name.split(".") if part.isdecimal())


def _remedy(tools: Tools) -> str:
    return "install it" if tools.uv else "install it, or uv (pip install uv), which fetches interpreters"
