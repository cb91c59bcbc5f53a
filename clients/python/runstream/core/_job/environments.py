"""The settings of an environment, and the definition they stand for."""

from dataclasses import dataclass, field
from typing import Any

from runstream.api.jobs.v1 import environment_pb2 as messages
from runstream.core._job.checks import variables
from runstream.core._job.sections import DockerSection, PythonSection, SparkSection
from runstream.core._job.settings import Settings, logger, setting
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import RunConfigurationException


@dataclass(slots=True)
class EnvironmentSettings(Settings):
    """What is installed for a run, and the variables its processes see."""

    name: str | None = None
    version: str | None = None
    python: PythonSection = setting(PythonSection)
    docker: DockerSection = setting(DockerSection)
    spark: SparkSection = setting(SparkSection)
    environment_variables: dict[str, Any] = setting(dict)
    inferencing_stack_version: str | None = None
    r: object = None
    _registered: messages.Environment | None = field(default=None, repr=False, compare=False)
    """The version of the workspace that these settings were read from."""


def encode_environment(environment: EnvironmentSettings) -> messages.EnvironmentDefinition:
    """The definition of an environment.

    Raises:
        RunConfigurationException: It has both an image and a Dockerfile.
    """
    return messages.EnvironmentDefinition(
        display_name=environment.name or "",
        display_version=str(environment.version or ""),
        python=_encode_python(environment.python),
        image=_encode_image(environment.docker),
        environment_variables=variables("environment_variables", environment.environment_variables),
    )


def encode_job_environment(environment: EnvironmentSettings, workspace: str | None) -> messages.Environment:
    """The environment of a job; it refers to a registered version if it still is what this workspace has of it."""
    definition = encode_environment(environment)
    registered = environment._registered
    if registered is None or (workspace and not registered.name.startswith(f"{workspace}/")):
        return messages.Environment(definition=definition)
    is_unchanged = _content(registered.definition) == _content(definition)
    return messages.Environment(name=registered.name if is_unchanged else "", definition=definition)


def decode_environment(definition: messages.EnvironmentDefinition, settings: EnvironmentSettings) -> None:
    """Makes settings what a definition says."""
    python, docker = settings.python, settings.docker
    settings.name, settings.version = definition.display_name, definition.display_version or None
    python.user_managed_dependencies = definition.python.user_managed
    python.interpreter_path = definition.python.interpreter_path or "python"
    python.conda_dependencies = _decode_conda(definition.python.conda_specification)
    python.base_conda_environment = definition.python.base_conda_environment or None
    docker.base_image = definition.image.reference or None
    docker.base_dockerfile = definition.image.dockerfile or None
    settings.environment_variables = dict(definition.environment_variables)


def _encode_python(python: PythonSection) -> messages.PythonDefinition:
    if python.user_managed_dependencies:
        return messages.PythonDefinition(user_managed=True, interpreter_path=python.interpreter_path or "")
    if python.base_conda_environment:
        return messages.PythonDefinition(base_conda_environment=python.base_conda_environment)
    conda = python.conda_dependencies
    return messages.PythonDefinition(conda_specification=conda.serialize_to_string() if conda else "")


def _encode_image(docker: DockerSection) -> messages.ImageDefinition | None:
    if docker.base_image and docker.base_dockerfile:
        raise RunConfigurationException(
            "An environment has an image or a Dockerfile, not both: set docker.base_image or docker.base_dockerfile "
            "to None."
        )
    if docker.base_dockerfile:
        return messages.ImageDefinition(dockerfile=docker.base_dockerfile)
    if not docker.base_image:
        return None
    if docker.base_image_registry.password:
        logger.warning(
            "The password for the registry of image %s is not stored and not used: log in to the registry on the "
            "machine, or give the service account of the Kubernetes namespace an image pull secret.",
            docker.base_image,
        )
    registry = (docker.base_image_registry.address or "").rstrip("/")
    is_named = not registry or docker.base_image.startswith(f"{registry}/")
    return messages.ImageDefinition(reference=docker.base_image if is_named else f"{registry}/{docker.base_image}")


def _decode_conda(specification: str) -> CondaDependencies | None:
    import yaml

    return CondaDependencies(_underlying_structure=yaml.safe_load(specification)) if specification else None


def _content(definition: messages.EnvironmentDefinition) -> messages.EnvironmentDefinition:
    """What is installed, without how it is called."""
    content = messages.EnvironmentDefinition()
    content.CopyFrom(definition)
    content.display_name = content.display_version = ""
    content.python.conda_specification = content.python.conda_specification.strip()
    return content
