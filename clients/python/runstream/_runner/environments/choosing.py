"""Finds or makes the Python that the environment of a job asks for."""

import hashlib
import json
import os
import platform
import re
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from runstream._channel.credentials import mask_credentials
from runstream._runner.environments.building import Console, Tools, interpreter, make_environment
from runstream._runner.environments.cache import environment
from runstream._runner.environments.conda import find_conda_environment
from runstream._runner.environments.sdk import sdk_identity
from runstream._runner.environments.specification import Specification, read_specification
from runstream._runner.environments.tools import find_conda, find_uv
from runstream._runner.script import Python, find_python, own_python
from runstream.api.jobs.v1.environment_pb2 import PythonDefinition

FORMAT: Final = 1
"""Of environments: another one makes all of them anew."""


@asynccontextmanager
async def python_for(
    wanted: PythonDefinition, folder: Path, variables: Mapping[str, str], console: Console
) -> AsyncIterator[Python]:
    """The interpreter of a job whose files are in `folder`; its environment stays while the context is open.

    Raises:
        JobFailed: It cannot be had; the message says why, and what helps.
        OSError: Something cannot be written.
    """
    if wanted.user_managed:
        yield find_python(wanted.interpreter_path, variables)
        return
    if wanted.base_conda_environment:
        prefix = find_conda_environment(wanted.base_conda_environment, variables, console)
        yield Python(str(interpreter(prefix)), _conda_variables(prefix))
        return
    specification = read_specification(wanted.conda_specification, folder)
    if specification.is_empty:
        yield own_python()
        return
    async with _made(specification, variables, console) as made:
        yield made


@asynccontextmanager
async def _made(wanted: Specification, variables: Mapping[str, str], console: Console) -> AsyncIterator[Python]:
    tools = Tools(_base_python(wanted.python, variables), find_uv(variables), find_conda(variables))

    async def make(folder: Path) -> None:
        console.say(f"Making an environment for this run and later ones: {_description(wanted)}; in {folder}")
        await make_environment(folder, wanted, tools, console)

    def wait() -> None:
        console.say("Another run makes this environment; waiting for it.")

    async with environment(_key(wanted, tools), _description(wanted), make, wait) as prefix:
        belonging = _conda_variables(prefix) if wanted.conda else {"VIRTUAL_ENV": str(prefix)}
        yield Python(str(interpreter(prefix)), {**belonging, **_without_inherited_path(variables)})


def _base_python(wanted: str, variables: Mapping[str, str]) -> str:
    """An interpreter on this machine of the wanted version, whatever its last part; empty: none is known."""
    exact = re.match(r"(\d+\.\d+)(?:\.\d+)?$", wanted)
    own = f"{sys.version_info[0]}.{sys.version_info[1]}"
    if not wanted or (exact and exact[1] == own):
        return _own_base()
    return (exact and shutil.which(f"python{exact[1]}", path=variables.get("PATH"))) or ""


def _own_base() -> str:
    """The interpreter of this process, without the environment it may be in: each makes the same environments."""
    return sys.executable if sys.prefix == sys.base_prefix else os.path.realpath(sys.executable)


def _without_inherited_path(variables: Mapping[str, str]) -> dict[str, str]:
    """Hides packages of another Python, but those that the job itself names."""
    is_inherited = variables.get("PYTHONPATH") == os.environ.get("PYTHONPATH")
    return {"PYTHONPATH": ""} if is_inherited else {}


def _key(wanted: Specification, tools: Tools) -> str:
    python = f"{tools.python} {platform.python_version()}" if tools.python else ""
    parts = [
        FORMAT,
        wanted.python,
        wanted.pip,
        wanted.conda,
        wanted.channels,
        python,
        sdk_identity(),
        sys.platform,
        platform.machine(),
        *platform.libc_ver(),
    ]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


def _description(wanted: Specification) -> str:
    return mask_credentials(" ".join([f"python {wanted.python}".strip(), *wanted.conda, *wanted.pip]))


def _conda_variables(prefix: Path) -> dict[str, str]:
    return {"CONDA_PREFIX": str(prefix), "CONDA_DEFAULT_ENV": prefix.name}
