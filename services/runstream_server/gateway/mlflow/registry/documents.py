"""Registered models and their versions as clients of MLflow see them."""

from runstream_server.gateway.mlflow.models.documents import pairs
from runstream_server.gateway.mlflow.runs.documents import Document
from runstream_server.gateway.store.registry import ModelVersion, RegisteredModel


def model_document(model: RegisteredModel) -> Document:
    """A registered model with the latest version in each stage."""
    return {
        "name": model.name,
        "creation_timestamp": model.create_ms,
        "last_updated_timestamp": model.update_ms,
        "description": model.description,
        "latest_versions": [version_document(each) for each in model.latest],
        "tags": pairs(model.tags),
        "aliases": [{"alias": alias, "version": str(version)} for alias, version in model.aliases.items()],
    }


def version_document(version: ModelVersion) -> Document:
    """A version. It is ready at once: its files are there before it is made."""
    document = {
        "name": version.name,
        "version": str(version.version),
        "creation_timestamp": version.create_ms,
        "last_updated_timestamp": version.update_ms,
        "current_stage": version.stage,
        "description": version.description,
        "source": version.source,
        "run_id": version.run,
        "run_link": version.run_link,
        "status": "READY",
        "tags": pairs(version.tags),
        "aliases": list(version.aliases),
    }
    return document | ({"model_id": version.model} if version.model else {})
