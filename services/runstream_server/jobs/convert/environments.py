"""Environments between messages and the words of jobs."""

from runstream.api.jobs.v1 import environment_pb2 as messages
from runstream_server.jobs import limits
from runstream_server.jobs.convert.times import encode_time
from runstream_server.jobs.limits import Checks
from runstream_server.jobs.model import Environment
from runstream_server.names import EnvironmentName


def decode_registered(checks: Checks, field: str, definition: messages.EnvironmentDefinition) -> bytes:
    """The bytes of a definition to register: the same for the same content."""
    checks.display_name(f"{field}.display_name", definition.display_name)
    check_definition(checks, field, definition)
    kept = messages.EnvironmentDefinition()
    kept.CopyFrom(definition)
    kept.display_version = ""
    return kept.SerializeToString(deterministic=True)


def check_definition(checks: Checks, field: str, definition: messages.EnvironmentDefinition) -> None:
    """Holds a definition to its limits."""
    if definition.display_name:
        checks.display_name(f"{field}.display_name", definition.display_name)
    checks.text(f"{field}.display_version", definition.display_version, limits.DISPLAY_VERSION)
    python, image = definition.python, definition.image
    checks.text(f"{field}.python.interpreter_path", python.interpreter_path, limits.PLACE)
    checks.sized(f"{field}.python.conda_specification", python.conda_specification, limits.CONDA_BYTES)
    checks.text(f"{field}.python.base_conda_environment", python.base_conda_environment, limits.PLACE)
    checks.text(f"{field}.image.reference", image.reference, limits.REFERENCE)
    checks.sized(f"{field}.image.dockerfile", image.dockerfile, limits.DOCKERFILE_BYTES)
    if image.reference and image.dockerfile:
        checks.fail(f"{field}.image", "only one of reference and dockerfile is set")
    checks.variables(f"{field}.environment_variables", definition.environment_variables)


def encode_environment(environment: Environment) -> messages.Environment:
    """Makes the message of a version."""
    name = EnvironmentName(environment.workspace, environment.environment, environment.version)
    definition = messages.EnvironmentDefinition.FromString(environment.definition)
    definition.display_version = str(environment.version)
    return messages.Environment(name=str(name), definition=definition, create_time=encode_time(environment.create_time))
