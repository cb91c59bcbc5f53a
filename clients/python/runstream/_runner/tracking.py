"""The variables by which a stock client of MLflow finds the run of a job."""

import logging
import os
import re
from collections.abc import Container, Mapping
from typing import Final
from urllib.parse import urlsplit

from runstream._channel import Connection
from runstream._channel.address import is_loopback
from runstream._channel.authorized import CA_VARIABLE
from runstream._channel.tokens import TOKEN_VARIABLE
from runstream._mlflow import AUTH_VARIABLE, GATEWAY_VARIABLE, NAME, URI_VARIABLE, without_workspace
from runstream._runner.job import JobToRun
from runstream._runner.patience import call_patiently
from runstream._runner.tracked_experiment import TrackedExperiment, find_experiment
from runstream.api.runs.v1.run_history_service_pb2 import GetWorkspaceRequest
from runstream.exceptions import AzureMLException

CA_OF_TRACKING: Final = "MLFLOW_TRACKING_SERVER_CERT_PATH"
_NO_CA_WANTED: Final = "MLFLOW_TRACKING_INSECURE_TLS"
_OF_ANOTHER_SERVER: Final = re.compile(r"MLFLOW_(TRACKING_.*|REGISTRY_URI|RUN_ID|EXPERIMENT_(ID|NAME)|WORKSPACE)")
_RUN_ID: Final = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_\-]{0,255}")
"""What the client takes for the id of a run."""

_logger = logging.getLogger(__name__)


async def find_gateway(job: JobToRun, connection: Connection, surroundings: Mapping[str, str] = os.environ) -> str:
    """Where the processes of a job reach the gateway, without a workspace, by the environment, else by the services.

    Empty: nobody knows, or it serves another machine only.
    """
    if told := surroundings.get(GATEWAY_VARIABLE, "").rstrip("/"):
        return told
    request = GetWorkspaceRequest(name=job.parent)
    try:
        found = (await call_patiently(connection, connection.runs.GetWorkspace, request)).workspace
    except AzureMLException as error:
        _logger.warning("where the gateway is, is not known: %s", error.message)
        return ""
    gateway = without_workspace(found.gateway_url, found.name)
    return "" if is_elsewhere(gateway, job.address) else gateway


def is_elsewhere(gateway: str, address: str) -> bool:
    """Whether a gateway is one of the machine of the services only, and this is another one."""
    return is_loopback(f"{urlsplit(gateway).hostname}:") and not is_loopback(address)


async def add_tracking(
    variables: Mapping[str, str], job: JobToRun, connection: Connection, chosen: Container[str]
) -> dict[str, str]:
    """The variables of a job as `with_tracking` says, with what the services know of gateway and experiment."""
    gateway, experiment = await find_gateway(job, connection), None
    if is_tracked(gateway, job, chosen):
        uri, secret = f"{gateway}/{job.parent}", variables.get(TOKEN_VARIABLE, "")
        experiment = await find_experiment(uri, variables["RUNSTREAM_EXPERIMENT"], secret)
    return with_tracking(variables, gateway, job, chosen, experiment)


def is_tracked(gateway: str, job: JobToRun, chosen: Container[str]) -> bool:
    """Whether MLflow is led to the run of a job; `chosen` are the names of the variables of its run configuration."""
    return bool(gateway and URI_VARIABLE not in chosen and _RUN_ID.fullmatch(job.run_id))


def with_tracking(
    variables: Mapping[str, str],
    gateway: str,
    job: JobToRun,
    chosen: Container[str],
    experiment: TrackedExperiment | None = None,
) -> dict[str, str]:
    """The variables of a job with those of MLflow, which lead to its run; of other servers nothing is left then.

    They stay as they are where the gateway is not known, where the run configuration has a server of its own, and where
    MLflow takes the id of the run for none. Without an experiment they lead to it by its name alone.
    """
    if not is_tracked(gateway, job, chosen):
        return dict(variables)
    kept = {
        name: value for name, value in variables.items() if name in chosen or not _OF_ANOTHER_SERVER.fullmatch(name)
    }
    return {
        **kept,
        GATEWAY_VARIABLE: gateway,
        URI_VARIABLE: f"{gateway}/{job.parent}",
        "MLFLOW_RUN_ID": job.run_id,
        "MLFLOW_EXPERIMENT_NAME": experiment.name if experiment else variables["RUNSTREAM_EXPERIMENT"],
        **({"MLFLOW_EXPERIMENT_ID": experiment.experiment_id} if experiment else {}),
        **_access(variables),
        **_trust(variables, gateway, chosen),
    }


def _access(variables: Mapping[str, str]) -> dict[str, str]:
    """The token: by the provider as it is now, and as it was for environments without this SDK."""
    secret = variables.get(TOKEN_VARIABLE)
    return {AUTH_VARIABLE: NAME, "MLFLOW_TRACKING_TOKEN": secret} if secret else {}


def _trust(variables: Mapping[str, str], gateway: str, chosen: Container[str]) -> dict[str, str]:
    authorities = variables.get(CA_VARIABLE)
    if not authorities or urlsplit(gateway).scheme != "https" or CA_OF_TRACKING in chosen or _NO_CA_WANTED in chosen:
        return {}
    return {CA_OF_TRACKING: authorities}
