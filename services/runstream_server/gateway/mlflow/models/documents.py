"""Logged models as clients of MLflow see them."""

import json
from collections.abc import Mapping, Sequence

from runstream_server.gateway.mlflow.fields import number
from runstream_server.gateway.mlflow.runs.documents import Document
from runstream_server.gateway.store.logged_model_labels import ModelMetric
from runstream_server.gateway.store.logged_models import LoggedModel

_VERSIONS_TAG = "mlflow.modelVersions"


def model_document(model: LoggedModel) -> Document:
    """A model with everything."""
    return {
        "info": _info(model),
        "data": {"params": pairs(model.params), "metrics": [_metric(model, each) for each in model.metrics]},
    }


def model_uri(model: LoggedModel) -> str:
    """Where clients put the files of a model, and find them."""
    return f"mlflow-artifacts:/{model.experiment_number}/models/{model.model_id}/artifacts"


def _info(model: LoggedModel) -> Document:
    info = {
        "model_id": model.model_id,
        "experiment_id": str(model.experiment_number),
        "name": model.name,
        "creation_timestamp_ms": model.create_ms,
        "last_updated_timestamp_ms": model.update_ms,
        "artifact_uri": model_uri(model),
        "status": model.status,
        "model_type": model.model_type,
        "tags": pairs(model.tags),
        "registrations": _registrations(model.tags.get(_VERSIONS_TAG, "")),
    }
    return info | ({"source_run_id": model.run} if model.has_source_run else {})


def pairs(texts: Mapping[str, str]) -> Sequence[Document]:
    """Tags, or params."""
    return [{"key": key, "value": value} for key, value in texts.items()]


def _metric(model: LoggedModel, metric: ModelMetric) -> Document:
    document = {
        "key": metric.key,
        "value": number(metric.value),
        "timestamp": metric.time_ms,
        "step": metric.step,
        "model_id": model.model_id,
        "run_id": metric.run,
    }
    dataset = {"dataset_name": metric.dataset_name, "dataset_digest": metric.dataset_digest}
    return document | (dataset if metric.dataset_name else {})


def _registrations(text: str) -> Sequence[Document]:
    """The versions of registered models that are made of this one, as clients note them in a tag."""
    try:
        found = json.loads(text or "[]")
    except (ValueError, RecursionError):
        return []
    return [each for each in found if _is_registration(each)] if isinstance(found, list) else []


def _is_registration(found: object) -> bool:
    return isinstance(found, dict) and set(found) == {"name", "version"}
