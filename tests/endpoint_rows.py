"""Each endpoint of the gateway, with a good request about given things, and who may make it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from runstream_server.auth import Role


@dataclass(frozen=True)
class Row:
    """A good request, and who may make it."""

    fields: Mapping[str, Any] = field(default_factory=dict)
    """Parameters. Texts such as `{run}` stand for the names of things."""

    role: Role = Role.READER
    """The least role."""

    of_run: bool = True
    """Whether it is open to tokens of runs."""

    names: str = ""
    """The parameter that names a thing, which others than its workspace do not reach; empty: none."""

    data: bytes | None = None
    """The body, of an endpoint that moves bytes."""


@dataclass(frozen=True)
class Things:
    """Names of things of one workspace."""

    run: str
    experiment: str
    model: str
    registered: str = "registered"

    def put_into(self, value: Any) -> Any:
        """A value with the names in the place of what stands for them."""
        match value:
            case str():
                return value.format(**vars(self)) if "{" in value else value
            case dict():
                return {name: self.put_into(each) for name, each in value.items()}
            case list():
                return [self.put_into(each) for each in value]
        return value


W = Role.WRITER
_RUN = {"run_id": "{run}"}
_EXPERIMENT = {"experiment_id": "{experiment}"}
_MODEL = {"model_id": "{model}"}
_REGISTERED = {"name": "{registered}"}
_VERSION = {**_REGISTERED, "version": "1"}
_LABEL = {"key": "key", "value": "value"}
_METRIC = {"key": "loss", "value": 0.5, "timestamp": 1_000, "step": 3}
_SEARCH = {"filter": "", "order_by": ["name"], "max_results": 5, "page_token": ""}
_OF_FILE = {"path": "{experiment}/{run}/artifacts/a.txt"}


def _read(fields: Mapping[str, Any], names: str = "", *, of_run: bool = True) -> Row:
    return Row(fields, names=names, of_run=of_run)


def _write(fields: Mapping[str, Any], names: str = "", *, of_run: bool = True) -> Row:
    return Row(fields, W, of_run, names)


_DATASET = {"name": "d", "digest": "1", "source_type": "local", "source": "s", "schema": "{{}}", "profile": "p"}
_INPUTS = {**_RUN, "datasets": [{"tags": [_LABEL], "dataset": _DATASET}], "models": [_MODEL]}
_CHART = {"metric_key": "loss", "max_results": 5}

_EXPERIMENTS: Mapping[str, Row] = {
    "GET experiments/get": _read(_EXPERIMENT, "experiment_id"),
    "GET experiments/get-by-name": _read({"experiment_name": "all"}, "experiment_name"),
    "GET experiments/search": _read({**_SEARCH, "view_type": "ALL"}),
    "POST experiments/search": _read({**_SEARCH, "view_type": 3}),
    "POST experiments/create": _write({"name": "new", "artifact_location": "", "tags": [_LABEL]}, of_run=False),
    "POST experiments/update": _write({**_EXPERIMENT, "new_name": "all"}, "experiment_id", of_run=False),
    "POST experiments/delete": _write(_EXPERIMENT, "experiment_id", of_run=False),
    "POST experiments/restore": _write(_EXPERIMENT, "experiment_id", of_run=False),
    "POST experiments/set-experiment-tag": _write({**_EXPERIMENT, **_LABEL}, "experiment_id", of_run=False),
    "POST experiments/delete-experiment-tag": _write({**_EXPERIMENT, "key": "key"}, "experiment_id", of_run=False),
}

_RUNS: Mapping[str, Row] = {
    "POST runs/create": _write(
        {**_EXPERIMENT, "user_id": "me", "run_name": "one", "start_time": 1_000, "tags": [_LABEL]}, "experiment_id"
    ),
    "GET runs/get": _read(_RUN, "run_id"),
    "POST runs/update": _write({**_RUN, "status": "RUNNING", "end_time": 2_000, "run_name": "two"}, "run_id"),
    "POST runs/delete": _write(_RUN, "run_id", of_run=False),
    "POST runs/restore": _write(_RUN, "run_id", of_run=False),
    "POST runs/search": _read(
        {**_SEARCH, "order_by": ["metrics.loss"], "experiment_ids": ["{experiment}"], "run_view_type": "ALL"}
    ),
    "POST runs/log-metric": _write({**_RUN, **_METRIC, "model_id": "", "dataset_name": "d"}, "run_id"),
    "POST runs/log-batch": _write({**_RUN, "metrics": [_METRIC], "params": [{"key": "p"}], "tags": [_LABEL]}, "run_id"),
    "POST runs/log-parameter": _write({**_RUN, **_LABEL}, "run_id"),
    "POST runs/set-tag": _write({**_RUN, **_LABEL}, "run_id"),
    "POST runs/delete-tag": _write({**_RUN, "key": "key"}, "run_id"),
    "POST runs/log-model": _write(
        {**_RUN, "model_json": '{{"artifact_path":"m","flavors":[],"run_id":"r","utc_time_created":"t"}}'}, "run_id"
    ),
    "POST runs/log-inputs": _write(_INPUTS, "run_id"),
    "POST runs/outputs": _write({**_RUN, "models": [{**_MODEL, "step": 1}]}, "run_id"),
    "GET metrics/get-history": _read({**_RUN, **_CHART, "page_token": ""}, "run_id"),
    "GET metrics/get-history-bulk": _read({**_RUN, **_CHART}, "run_id"),
    "GET metrics/get-history-bulk-interval": _read(
        {"run_ids": ["{run}"], **_CHART, "start_step": 0, "end_step": 9}, "run_ids"
    ),
    "GET artifacts/list": _read({**_RUN, "path": "a", "page_token": ""}, "run_id"),
}

_MODELS: Mapping[str, Row] = {
    "POST logged-models": _write(
        {**_EXPERIMENT, "name": "m", "model_type": "t", "source_run_id": "{run}", "params": [_LABEL], "tags": [_LABEL]},
        "experiment_id",
    ),
    "POST logged-models/search": _read(
        {
            "experiment_ids": ["{experiment}"],
            "filter": "",
            "datasets": [{"dataset_name": "d", "dataset_digest": "1"}],
            "order_by": [{"field_name": "metrics.loss", "ascending": True, "dataset_name": "d", "dataset_digest": "1"}],
            "max_results": 5,
            "page_token": "",
        }
    ),
    "GET logged-models/{model_id}": _read(_MODEL, "model_id"),
    "PATCH logged-models/{model_id}": _write({**_MODEL, "status": "LOGGED_MODEL_READY"}, "model_id"),
    "DELETE logged-models/{model_id}": _write(_MODEL, "model_id"),
    "PATCH logged-models/{model_id}/tags": _write({**_MODEL, "tags": [_LABEL]}, "model_id"),
    "DELETE logged-models/{model_id}/tags/{key:.+}": _write({**_MODEL, "key": "key"}, "model_id"),
    "POST logged-models/{model_id}/params": _write({**_MODEL, "params": [_LABEL]}, "model_id"),
    "GET logged-models/{model_id}/artifacts/directories": _read(
        {**_MODEL, "artifact_directory_path": "a", "page_token": ""}, "model_id"
    ),
}

_REGISTRY: Mapping[str, Row] = {
    "POST registered-models/create": _write({"name": "new", "description": "d", "tags": [_LABEL]}),
    "POST registered-models/rename": _write({**_REGISTERED, "new_name": "renamed"}, "name", of_run=False),
    "PATCH registered-models/update": _write({**_REGISTERED, "description": "d"}, "name", of_run=False),
    "DELETE registered-models/delete": _write(_REGISTERED, "name", of_run=False),
    "POST registered-models/set-tag": _write({**_REGISTERED, **_LABEL}, "name", of_run=False),
    "DELETE registered-models/delete-tag": _write({**_REGISTERED, "key": "key"}, "name", of_run=False),
    "POST registered-models/alias": _write({**_VERSION, "alias": "best"}, "name", of_run=False),
    "DELETE registered-models/alias": _write({**_REGISTERED, "alias": "best"}, "name", of_run=False),
    "GET registered-models/alias": _read({**_REGISTERED, "alias": "best"}, "name"),
    "GET registered-models/get": _read(_REGISTERED, "name", of_run=False),
    "GET registered-models/search": _read(_SEARCH, of_run=False),
    "GET registered-models/get-latest-versions": _read({**_REGISTERED, "stages": ["None"]}, "name", of_run=False),
    "POST registered-models/get-latest-versions": _read({**_REGISTERED, "stages": ["None"]}, "name", of_run=False),
    "POST model-versions/create": _write(
        {
            **_REGISTERED,
            "source": "models:/{model}",
            "run_id": "{run}",
            "run_link": "",
            "model_id": "{model}",
            "description": "d",
            "tags": [_LABEL],
        },
        "name",
    ),
    "PATCH model-versions/update": _write({**_VERSION, "description": "d"}, "name", of_run=False),
    "DELETE model-versions/delete": _write(_VERSION, "name", of_run=False),
    "POST model-versions/transition-stage": _write(
        {**_VERSION, "stage": "Staging", "archive_existing_versions": True}, "name", of_run=False
    ),
    "POST model-versions/set-tag": _write({**_VERSION, **_LABEL}, "name", of_run=False),
    "DELETE model-versions/delete-tag": _write({**_VERSION, "key": "key"}, "name", of_run=False),
    "GET model-versions/get": _read(_VERSION, "name"),
    "GET model-versions/get-download-uri": _read(_VERSION, "name"),
    "GET model-versions/search": _read({**_SEARCH, "order_by": ["name"]}, of_run=False),
}


def _files(base: str) -> Mapping[str, Row]:
    one = f"{base}/{{path:(?s:.*)}}"
    return {
        f"GET {base}": _read({"path": "{experiment}/{run}/artifacts"}, "path"),
        f"GET {one}": _read(_OF_FILE, "path"),
        f"PUT {one}": Row(_OF_FILE, W, names="path", data=b"bytes"),
        f"DELETE {one}": _write(_OF_FILE, "path"),
    }


ROWS: Mapping[str, Row] = {
    "GET /version": _read({}),
    "GET server-info": _read({}),
    **_EXPERIMENTS,
    **_RUNS,
    **_MODELS,
    **_REGISTRY,
    **_files("/api/2.0/mlflow-artifacts/artifacts"),
    **_files("/ajax-api/2.0/mlflow-artifacts/artifacts"),
}
"""By method and path, as the table of endpoints has them."""
