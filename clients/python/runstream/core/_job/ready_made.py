"""Environments that every workspace has: they are made here, and nothing of them is stored."""

from collections.abc import Sequence

from runstream.api.jobs.v1 import environment_pb2 as messages
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import ServiceException

RESERVED = ("microsoft", "azureml")
"""No registered environment has a name that begins so, in any case."""

VERSION = "1"
PACKAGES = {
    "AzureML-PyTorch": ["torch", "torchvision", "numpy"],
    "AzureML-Scikit-learn": ["scikit-learn", "numpy", "pandas", "joblib"],
    "AzureML-TensorFlow": ["tensorflow", "numpy"],
    "AzureML-Tutorial": ["scikit-learn", "numpy", "pandas", "matplotlib", "joblib"],
}
USER_MANAGED = "AzureML-Minimal"
"""The Python of the machine, as it is."""


def is_reserved(name: str) -> bool:
    """Whether no environment of this name can be registered."""
    return name.lower().startswith(RESERVED)


def all_ready_made() -> list[messages.EnvironmentDefinition]:
    """The environments that every workspace has, in ascending order of name."""
    return [ready_made(name) for name in sorted([USER_MANAGED, *PACKAGES])]


def ready_made(name: str, version: str | None = None) -> messages.EnvironmentDefinition:
    """The environment of this name; in any case.

    Raises:
        ServiceException: There is none, or not in this version; `status_code` is 404.
    """
    found = {each.casefold(): each for each in (USER_MANAGED, *PACKAGES)}.get(name.casefold())
    if found is None or str(version or VERSION) != VERSION:
        wanted = f"{name}, version {version}" if version else name
        known = ", ".join(sorted([USER_MANAGED, *PACKAGES]))
        message = f"There is no ready-made environment {wanted}; there are, as version {VERSION}: {known}."
        raise ServiceException(message, status_code=404, reason="ENVIRONMENT_NOT_FOUND")
    return messages.EnvironmentDefinition(
        display_name=found, display_version=VERSION, python=_python(PACKAGES.get(found, ()))
    )


def _python(packages: Sequence[str]) -> messages.PythonDefinition:
    if not packages:
        return messages.PythonDefinition(user_managed=True)
    conda = CondaDependencies.create(pip_packages=packages)
    return messages.PythonDefinition(conda_specification=conda.serialize_to_string())
