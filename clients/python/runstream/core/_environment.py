"""What an environment does, in both forms."""

import logging
import os
from copy import deepcopy
from typing import Any, Self, TypeVar

from runstream._channel.pages import pages
from runstream.api.jobs.v1 import environment_pb2 as messages
from runstream.api.jobs.v1 import job_service_pb2 as api
from runstream.core._job.environment_files import read_directory, read_dockerfile, save_to_directory, to_conda
from runstream.core._job.environments import EnvironmentSettings, decode_environment, encode_environment
from runstream.core._job.ready_made import all_ready_made, is_reserved, ready_made
from runstream.core._job.sections import ContainerRegistry
from runstream.core._job.settings import reset
from runstream.core._surface import dual, dual_class
from runstream.exceptions import UserErrorException

PAGE_SIZE = 1000
AnyPath = str | os.PathLike[str]
T = TypeVar("T")
Environments = dict[str, T]

logger = logging.getLogger("runstream")

BUILT_LATER = (
    "There is nothing to build: an environment is prepared where a run is executed, when the first run needs it."
)


class ImageBuildDetails:
    """What `build` returns: there is nothing to wait for."""

    status = "Succeeded"

    def wait_for_completion(self, show_output: bool = True) -> "ImageBuildDetails":
        """Returns at once."""
        if show_output:
            print(BUILT_LATER)  # noqa: T201
        return self


class EnvironmentCalls(EnvironmentSettings):
    """What is installed for a run, and the variables its processes see."""

    def __init__(self, name: str | None, **kwargs: object) -> None:
        if kwargs:
            logger.warning(
                "Environment(%r): %s: not known here and without effect; set attributes.", name, ", ".join(kwargs)
            )
        reset(self)
        self.name = name

    @classmethod
    def from_conda_specification(cls, name: str, file_path: AnyPath) -> Self:
        """An environment of a conda specification, as a YAML file.

        Raises:
            UserErrorException: The file cannot be read, or is no conda specification.
        """
        environment = cls(name)
        environment.python.conda_dependencies = to_conda(file_path, None)
        return environment

    @classmethod
    def from_pip_requirements(cls, name: str, file_path: AnyPath, pip_version: str | None = None) -> Self:
        """An environment of a requirements file of pip, with Python of the version of this process.

        Raises:
            UserErrorException: The file cannot be read.
        """
        environment = cls(name)
        environment.python.conda_dependencies = to_conda(None, file_path, pip_version)
        return environment

    @classmethod
    def from_existing_conda_environment(cls, name: str, conda_environment_name: str) -> Self:
        """An environment that conda has already where the run is executed; it is used as it is."""
        environment = cls(name)
        environment.python.base_conda_environment = conda_environment_name
        return environment

    @classmethod
    def from_docker_image(
        cls,
        name: str,
        image: str,
        container_registry: ContainerRegistry | None = None,
        conda_specification: AnyPath | None = None,
        pip_requirements: AnyPath | None = None,
    ) -> Self:
        """An environment in a container image; the Python in there is used as it is unless packages are given.

        Raises:
            UserErrorException: A file cannot be read, or both are given.
        """
        environment = cls._in_container(name, conda_specification, pip_requirements)
        environment.docker.base_image = image
        if container_registry is not None:
            environment.docker.base_image_registry = container_registry
        return environment

    @classmethod
    def from_dockerfile(
        cls,
        name: str,
        dockerfile: AnyPath,
        conda_specification: AnyPath | None = None,
        pip_requirements: AnyPath | None = None,
    ) -> Self:
        """An environment in a container whose image is built from a Dockerfile: its path, or its text.

        Raises:
            UserErrorException: A file cannot be read, or both a specification and requirements are given.
        """
        environment = cls._in_container(name, conda_specification, pip_requirements)
        environment.docker.base_dockerfile = read_dockerfile(dockerfile)
        return environment

    @classmethod
    def load_from_directory(cls, path: AnyPath) -> Self:
        """Reads an environment that `save_to_directory` wrote.

        Raises:
            UserErrorException: The folder has none, or it cannot be read.
        """
        environment = cls(None)
        read_directory(environment, path)
        return environment

    def save_to_directory(self, path: AnyPath, overwrite: bool = False) -> None:
        """Writes the environment to a folder: `azureml_environment.json`, and `conda_dependencies.yml` beside it.

        Raises:
            UserErrorException: The folder has one, and `overwrite` is not set.
        """
        save_to_directory(self, path, overwrite)

    def clone(self, new_name: str) -> Self:
        """A copy under another name, which is not registered."""
        copy = deepcopy(self)
        copy.name, copy.version, copy._registered = new_name, None, None
        return copy

    @dual
    async def register(self, workspace: Any) -> Self:
        """Registers the environment and returns the version it has become.

        Versions count 1, 2, ...; what is registered already gives the version it has.

            env = Environment.from_pip_requirements("digits", "requirements.txt").register(ws)

        Raises:
            UserErrorException: The name is not allowed; those that begin with `Microsoft` or `AzureML` are reserved.
        """
        if is_reserved(self.name or ""):
            raise UserErrorException(f"{self.name!r} begins with a word that is reserved for ready-made environments.")
        connection = workspace._connection()
        definition = encode_environment(self)
        definition.display_version = ""
        request = api.RegisterEnvironmentRequest(
            parent=workspace._record.name, environment_id=self.name or "", definition=definition
        )
        registered = (await connection.call(connection.jobs.RegisterEnvironment, request)).environment
        return type(self)._of(registered)

    @dual_class
    async def get(
        cls: type[Any], workspace: Any, name: str, version: str | None = None, label: str | None = None
    ) -> Any:
        """Returns a registered or ready-made environment, the latest version unless another one is asked for.

            env = Environment.get(ws, "digits", version="2")
            env = Environment.get(ws, "AzureML-Scikit-learn")

        Raises:
            ServiceException: There is none; `status_code` is 404.
            UserErrorException: `label` is another one than `Latest`.
        """
        if label is not None and (version is not None or label.casefold() != "latest"):
            raise UserErrorException("The only label is Latest, and it is given without a version.")
        if is_reserved(name):
            return cls._of(messages.Environment(definition=ready_made(name, version)))
        connection = workspace._connection()
        suffix = f"/versions/{version}" if version is not None else ""
        request = api.GetEnvironmentRequest(name=f"{workspace._record.name}/environments/{name}{suffix}")
        return cls._of((await connection.call(connection.jobs.GetEnvironment, request)).environment)

    @dual_class
    async def list(cls: type[Any], workspace: Any) -> "Environments[Any]":
        """Returns the latest versions of registered environments, and the ready-made ones, by name."""
        return await list_environments(workspace, cls)

    @dual
    async def build(self, workspace: Any) -> ImageBuildDetails:
        """Does nothing but say so: environments are prepared where a run is executed, when the first run needs one."""
        logger.warning(BUILT_LATER)
        return ImageBuildDetails()

    @classmethod
    def _of(cls, record: messages.Environment) -> Self:
        environment = cls(None)
        decode_environment(record.definition, environment)
        if record.name:
            environment._registered = record
            environment.name, _, environment.version = record.name.split("/")[-3:]
        return environment

    @classmethod
    def _in_container(cls, name: str, conda: AnyPath | None, requirements: AnyPath | None) -> Self:
        environment = cls(name)
        packages = to_conda(conda, requirements)
        if packages is None:
            environment.python.user_managed_dependencies = True
        else:
            environment.python.conda_dependencies = packages
        return environment

    def __repr__(self) -> str:
        return f"{type(self).__name__}(Name: {self.name},\nVersion: {self.version})"


async def list_environments(workspace: Any, cls: type[Any]) -> dict[str, Any]:
    """The latest versions of registered environments, and the ready-made ones, by name."""
    connection = workspace._connection()
    request = api.ListEnvironmentsRequest(parent=workspace._record.name, page_size=PAGE_SIZE)
    found = [messages.Environment(definition=each) for each in all_ready_made()]
    listed = pages(connection, connection.jobs.ListEnvironments, request)
    found += [environment async for page in listed for environment in page.environments]
    return {each.name: each for each in map(cls._of, found)}
