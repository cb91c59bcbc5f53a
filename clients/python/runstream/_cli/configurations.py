"""The run configurations that an attached folder begins with."""

from pathlib import Path

PACKAGES = ".azureml/conda_dependencies.yml"
HEADER = (
    "# What is installed for runs of the configurations that name this file, unless Python is user-managed there.\n"
)


def write_configurations(project: Path) -> list[Path]:
    """Writes the configurations `local` and `docker` and their packages, unless the folder has them; what was written.

    `local` uses the Python of the machine as it is, `docker` installs the packages in a container.
    """
    from runstream.core import RunConfiguration
    from runstream.core.runconfig import DEFAULT_CPU_IMAGE

    local, docker = RunConfiguration(), RunConfiguration()
    local.environment.python.user_managed_dependencies = True
    docker.docker.use_docker = True
    docker.environment.docker.base_image = DEFAULT_CPU_IMAGE
    written = _write_packages(project / PACKAGES)
    for name, configuration in {"local": local, "docker": docker}.items():
        if not _is_there(project, name):
            configuration.environment.python.conda_dependencies_file = PACKAGES
            configuration.save(project, name)
            written.append(project / ".azureml" / name)
    return written


def _write_packages(file: Path) -> list[Path]:
    from runstream.core.conda_dependencies import CondaDependencies

    if file.exists():
        return []
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(HEADER + CondaDependencies().serialize_to_string(), "utf-8")
    return [file]


def _is_there(project: Path, name: str) -> bool:
    from runstream.core._job.configuration_files import find_configuration
    from runstream.exceptions import RunConfigurationException

    try:
        find_configuration(project, name)
    except RunConfigurationException:
        return False
    return True
