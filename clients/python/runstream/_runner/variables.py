"""The environment variables of a job's processes."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runstream._channel.address import url_of
from runstream._channel.tokens import PRIVATE_VARIABLES
from runstream._runner.job import JobToRun
from runstream._runner.nodes import NODE_VARIABLES
from runstream._runner.processes import MARK_VARIABLE
from runstream.api.jobs.v1.job_pb2 import JobDefinition

OUTPUTS: Final = "outputs"
DEFAULT_LABEL: Final = "runstream"
_INHERITED_NOT: Final = frozenset(
    {
        *("RUNSTREAM_MODE", "VIRTUAL_ENV", "PYTHONHOME", "__PYVENV_LAUNCHER__"),
        *NODE_VARIABLES,
        *PRIVATE_VARIABLES,
    }
)
"""Of this process, which says nothing about the environment of the job, nor about jobs that the job submits."""


def job_variables(
    job: JobToRun,
    experiment: str,
    definition: JobDefinition,
    folder: Path,
    access: Mapping[str, str],
    surroundings: Mapping[str, str] = os.environ,
) -> dict[str, str]:
    """The variables of every process of a job: those of this process, then those of the definition, then ours.

    `access` are those with the run token; no process sees the token of whoever started the runner.
    """
    inherited = {name: value for name, value in surroundings.items() if name not in _INHERITED_NOT}
    return {
        **inherited,
        "PYTHONUNBUFFERED": "1",
        **definition.environment.definition.environment_variables,
        **definition.environment_variables,
        **_identity(job, experiment, surroundings),
        **access,
        MARK_VARIABLE: str(folder),
    }


def _identity(job: JobToRun, experiment: str, surroundings: Mapping[str, str]) -> dict[str, str]:
    return {
        "RUNSTREAM_RUN_ID": job.run_id,
        "RUNSTREAM_WORKSPACE": job.workspace,
        "RUNSTREAM_EXPERIMENT": experiment,
        "RUNSTREAM_ADDRESS": job.address,
        "AZUREML_RUN_ID": job.run_id,
        "AZUREML_ARM_SUBSCRIPTION": surroundings.get("AZUREML_ARM_SUBSCRIPTION") or DEFAULT_LABEL,
        "AZUREML_ARM_RESOURCEGROUP": surroundings.get("AZUREML_ARM_RESOURCEGROUP") or DEFAULT_LABEL,
        "AZUREML_ARM_WORKSPACE_NAME": job.workspace,
        "AZUREML_ARM_PROJECT_NAME": experiment,
        "AZUREML_EXPERIMENT_ID": experiment,
        "AZUREML_WORKSPACE_ID": job.workspace,
        "AZUREML_SERVICE_ENDPOINT": url_of(job.address),
        "AZUREML_DISCOVERY_SERVICE_ENDPOINT": url_of(job.address),
        "AZUREML_OUTPUT_DIRECTORY": f"./{OUTPUTS}",
    }
