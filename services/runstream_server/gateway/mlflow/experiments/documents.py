"""Experiments as clients of MLflow see them."""

from runstream_server.gateway.mlflow.experiments.known import KnownExperiment
from runstream_server.gateway.mlflow.runs.documents import ACTIVE, DELETED, Document, milliseconds


def experiment_document(experiment: KnownExperiment) -> Document:
    """An experiment; tags without a value are shown as ones with an empty value."""
    message = experiment.message
    return {
        "experiment_id": experiment.id,
        "name": experiment.name,
        "artifact_location": artifact_location(experiment),
        "lifecycle_stage": DELETED if experiment.is_deleted else ACTIVE,
        "creation_time": milliseconds(message.create_time),
        "last_update_time": milliseconds(message.update_time),
        "tags": [{"key": tag.key, "value": tag.value} for tag in message.tags],
    }


def artifact_location(experiment: KnownExperiment) -> str:
    """Where the files of an experiment are said to be: as it was told at its creation, else in the gateway."""
    return experiment.numbered.artifact_location or f"mlflow-artifacts:/{experiment.id}"
