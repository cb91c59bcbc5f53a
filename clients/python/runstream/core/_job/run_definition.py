"""The run definition: what a run was submitted with, as `get_details()` shows it."""

import json
from collections.abc import Mapping
from typing import Any

from runstream.api.jobs.v1 import job_pb2 as messages
from runstream.core._job.configuration_files import configuration_document
from runstream.core._job.environments import decode_environment
from runstream.core._job.run_configuration import RunConfigurationSettings
from runstream.core._job.settings import Document, read_document

KIND_OF_FRAMEWORK = {
    messages.DISTRIBUTION_KIND_MPI: ("Python", "IntelMpi"),
    messages.DISTRIBUTION_KIND_PYTORCH: ("PyTorch", "Nccl"),
    messages.DISTRIBUTION_KIND_TENSORFLOW: ("TensorFlow", "ParameterServer"),
}


def run_definition(job: messages.Job) -> Document:
    """What a job's run was submitted with; made of what the job executes if this SDK did not submit it."""
    if job.definition.details_json:
        kept: Document = json.loads(job.definition.details_json)
        return kept
    return configuration_document(_configuration(job))


def read_run_definition(configuration: RunConfigurationSettings, definition: Mapping[str, Any]) -> None:
    """Makes a fresh configuration what a run definition says."""
    read_document(configuration, definition, "runDefinition")
    python = (definition.get("environment") or {}).get("python") or {}
    if python.get("condaDependencies", python) is None:
        configuration.environment.python.conda_dependencies = None


def _configuration(job: messages.Job) -> RunConfigurationSettings:
    definition = job.definition
    made = RunConfigurationSettings()
    made.script, made.command = definition.script or None, definition.command or None
    made.arguments = list(definition.arguments)
    made.target = job.compute_target.rpartition("/")[2] or "local"
    made.environment_variables = dict(definition.environment_variables)
    decode_environment(definition.environment.definition, made.environment)
    made.history.output_collection = not definition.skip_outputs
    made.history.snapshot_project = bool(definition.snapshot)
    made.history.directories_to_watch = list(definition.watched_directories) or ["logs"]
    made.docker.use_docker = definition.container.use_container
    made.priority = definition.priority or None
    _read_distribution(definition.distribution, made)
    return made


def _read_distribution(distribution: messages.Distribution, made: RunConfigurationSettings) -> None:
    nodes = made.node_count = distribution.node_count or 1
    processes = distribution.process_count or nodes
    made.framework, made.communicator = KIND_OF_FRAMEWORK.get(distribution.kind, ("Python", "None"))
    match distribution.kind:
        case messages.DISTRIBUTION_KIND_MPI:
            made.mpi.process_count_per_node, made.mpi.node_count = processes // nodes, nodes
        case messages.DISTRIBUTION_KIND_PYTORCH:
            made.communicator = made.pytorch.communication_backend = distribution.backend or "Nccl"
            made.pytorch.process_count, made.pytorch.node_count = processes, nodes
        case messages.DISTRIBUTION_KIND_TENSORFLOW:
            made.tensorflow.worker_count = processes
            made.tensorflow.parameter_server_count = distribution.parameter_server_count
