"""Environments: what is installed for submitted runs."""

from runstream.core._environment import EnvironmentCalls
from runstream.core._job.sections import ContainerRegistry, DockerSection, PythonSection
from runstream.core._surface import Blocking
from runstream.core.conda_dependencies import CondaDependencies

__all__ = ["CondaDependencies", "ContainerRegistry", "DockerSection", "Environment", "PythonSection"]


class Environment(EnvironmentCalls, Blocking):
    """What is installed for a submitted run, and the variables its processes see.

    env = Environment("digits")
    env.python.conda_dependencies = CondaDependencies.create(pip_packages=["scikit-learn"])

    env = Environment("mine")
    env.python.user_managed_dependencies = True         # the Python of the machine, as it is
    env.python.interpreter_path = "/opt/python/bin/python"
    """
