"""Executes processes of a job in containers, by the engine of the machine."""

import asyncio
import hashlib
import logging
import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runstream._channel.authorized import CA_VARIABLE
from runstream._channel.tokens import TOKEN_FILE_VARIABLE
from runstream._runner.access import token_file
from runstream._runner.children import Children
from runstream._runner.environments.building import Console
from runstream._runner.failures import JobFailed
from runstream._runner.processes import MARK_VARIABLE, signal_groups
from runstream._runner.tracking import CA_OF_TRACKING
from runstream.api.jobs.v1.environment_pb2 import ImageDefinition
from runstream.api.jobs.v1.job_pb2 import ContainerOptions, JobDefinition

ENGINES: Final = ("docker", "podman")
INSIDE_VARIABLE: Final = "RUNSTREAM_IN_CONTAINER"
"""Set where the runner itself is in the container of the job."""
ERROR: Final = "EnvironmentError"
FOLDER: Final = "/runstream/work"
ACCESS: Final = "/runstream/access"
CERTIFICATES: Final = "/runstream/authorities.pem"
REMOVAL_SECONDS: Final = 60.0
_OF_MACHINE: Final = frozenset(
    {
        *("PATH", "HOME", "HOSTNAME", "LD_LIBRARY_PATH", "PYTHONPATH", "SHELL", "TMPDIR", "USER", "XDG_RUNTIME_DIR"),
        *(TOKEN_FILE_VARIABLE, CA_VARIABLE),
    }
)
"""Variables that mean something on this machine only."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Container:
    """What is started for each process."""

    engine: str
    image: str
    options: ContainerOptions
    gpus: int = 0
    name: str = "runstream"
    """What the names of the containers begin with; their numbers follow."""

    def wrap(self, command: Sequence[str], folder: Path, variables: Mapping[str, str], number: int) -> list[str]:
        """A command that executes another one in a container, which sees the folder and uses the machine's network.

        Variables are passed on by name, so that their values are in no list of processes.
        """
        names = [name for name in sorted(variables) if name not in _OF_MACHINE]
        return [
            *(self.engine, "run", "--rm", "--init", "--name", f"{self.name}-{number}", "--network", "host"),
            *("--user", f"{os.getuid()}:{os.getgid()}", "--volume", f"{folder}:{FOLDER}", "--workdir", FOLDER),
            *(part for name in names for part in ("--env", name)),
            *_mounts(folder.parent, variables),
            *(("--shm-size", self.options.shm_size) if self.options.shm_size else ()),
            *(("--gpus", str(self.gpus)) if self.gpus else ()),
            *self.options.arguments,
            self.image,
            *command,
        ]

    def removal(self, count: int) -> list[str]:
        """A command that ends the containers of the first so many processes, whatever became of who started them."""
        return _removal(self.engine, self.name, count)


def _mounts(folder: Path, variables: Mapping[str, str]) -> list[str]:
    """What lets processes in a container follow the token of the job with this folder, and trust the services."""
    found = [(token_file(folder).parent, ACCESS, TOKEN_FILE_VARIABLE, f"{ACCESS}/{token_file(folder).name}")]
    found = [each for each in found if variables.get(each[2])]
    if authorities := variables.get(CA_VARIABLE):
        found.append((Path(authorities), CERTIFICATES, CA_VARIABLE, CERTIFICATES))
    return [
        part
        for source, place, name, value in found
        for part in ("--volume", f"{source}:{place}:ro", "--env", f"{name}={value}")
    ] + (["--env", f"{CA_OF_TRACKING}={CERTIFICATES}"] if _trusts_same(variables) else [])


def _trusts_same(variables: Mapping[str, str]) -> bool:
    """Whether the client of MLflow trusts the same authorities as ours."""
    authorities = variables.get(CA_VARIABLE)
    return bool(authorities) and variables.get(CA_OF_TRACKING) == authorities


def is_wanted(definition: JobDefinition, environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the processes of a job are to be executed in containers that the runner starts."""
    return definition.container.use_container and not environment.get(INSIDE_VARIABLE)


async def container_for(definition: JobDefinition, variables: Mapping[str, str], console: Console) -> Container:
    """The container of a job; its image is built if need be.

    Raises:
        JobFailed: There is no engine or no image.
    """
    engine = _engine(variables)
    if engine is None:
        raise JobFailed(
            ERROR,
            "The run is to be executed in a container, and neither docker nor podman is installed where it executes. "
            "Install one of them there, or submit it without one (use_docker=False).",
        )
    image = await _image(engine, definition.environment.definition.image, console)
    name = _name_of(variables[MARK_VARIABLE])
    return Container(engine, image, definition.container, definition.requirements.gpus, name)


async def remove_left(children: Children, definition: JobDefinition, folder: Path) -> None:
    """Ends the containers that a lost runner of the job with this folder has left: they are no processes below it."""
    engine = _engine(os.environ) if is_wanted(definition) else None
    if engine is None:
        return
    count = max(definition.distribution.process_count, definition.distribution.node_count, 1)
    count += definition.distribution.parameter_server_count
    command = _removal(engine, _name_of(str(folder)), count)
    removing = children.start(command, folder, os.environ, subprocess.DEVNULL)
    try:
        async with asyncio.timeout(REMOVAL_SECONDS):
            await asyncio.shield(removing.ended)
    except TimeoutError:
        _logger.warning("%s does not answer; containers of the run may be left", engine)
        signal_groups([removing.pid], signal.SIGKILL)


def _removal(engine: str, name: str, count: int) -> list[str]:
    return [engine, "rm", "--force", *(f"{name}-{number}" for number in range(count))]


def _name_of(folder: str) -> str:
    """A name that every runner of a job finds again."""
    return f"runstream-{hashlib.sha256(folder.encode()).hexdigest()[:16]}"


def _engine(variables: Mapping[str, str]) -> str | None:
    return next((found for name in ENGINES if (found := shutil.which(name, path=variables.get("PATH")))), None)


async def _image(engine: str, wanted: ImageDefinition, console: Console) -> str:
    if wanted.reference:
        return wanted.reference
    if not wanted.dockerfile:
        raise JobFailed(ERROR, "The run is to be executed in a container, and its environment has no image.")
    return await _build(engine, wanted.dockerfile, console)


async def _build(engine: str, dockerfile: str, console: Console) -> str:
    image = f"runstream-environment:{hashlib.sha256(dockerfile.encode()).hexdigest()[:24]}"
    file = console.write("Dockerfile", dockerfile)
    if await console.run([engine, "build", "--tag", image, "--file", str(file), str(file.parent)]):
        raise JobFailed(ERROR, "The image could not be built; the log of the build says why.")
    return image
