"""Runs as clients of MLflow see them."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.fields import number
from runstream_server.names import RunName

Document: TypeAlias = dict[str, Any]

PARAM = "params."
"""What the keys of those properties begin with that are params."""

SHOWN_PROPERTY = "mlflow."
"""What the keys of those properties begin with that are shown as tags."""

RUN_NAME_TAG = "mlflow.runName"
NOTE_TAG = "mlflow.note.content"
PARENT_TAG = "mlflow.parentRunId"

ACTIVE = "active"
DELETED = "deleted"

UNKNOWN_USER = "unknown"

_STATUSES: Mapping[int, str] = {
    run_pb2.RUN_STATUS_NOT_STARTED: "SCHEDULED",
    run_pb2.RUN_STATUS_UNAPPROVED: "SCHEDULED",
    run_pb2.RUN_STATUS_PAUSED: "SCHEDULED",
    run_pb2.RUN_STATUS_STARTING: "SCHEDULED",
    run_pb2.RUN_STATUS_PREPARING: "SCHEDULED",
    run_pb2.RUN_STATUS_PROVISIONING: "SCHEDULED",
    run_pb2.RUN_STATUS_QUEUED: "SCHEDULED",
    run_pb2.RUN_STATUS_COMPLETED: "FINISHED",
    run_pb2.RUN_STATUS_FAILED: "FAILED",
    run_pb2.RUN_STATUS_CANCELED: "KILLED",
}


def run_document(
    run: run_pb2.Run,
    experiment_id: str,
    latest: Iterable[metrics.LatestValue] = (),
    *,
    inputs: Document | None = None,
    outputs: Document | None = None,
) -> Document:
    """A run, the latest values of its metrics, and what it took in and made; `experiment_id` as clients know it."""
    data = {
        "metrics": [metric_document(value) for value in latest],
        "params": [{"key": key, "value": value} for key, value in params_of(run).items()],
        "tags": [{"key": key, "value": value} for key, value in tags_of(run).items()],
    }
    return {"info": run_info(run, experiment_id), "data": data, "inputs": inputs or {}, "outputs": outputs or {}}


def run_info(run: run_pb2.Run, experiment_id: str) -> Document:
    """What a run is, without what it logged."""
    run_id = id_of(run.name)
    info = {
        "run_id": run_id,
        "run_uuid": run_id,
        "run_name": run.display_name,
        "experiment_id": experiment_id,
        "user_id": run.creator or UNKNOWN_USER,
        "status": status_of(run),
        "start_time": start_of(run),
        "artifact_uri": artifact_uri(experiment_id, run_id),
        "lifecycle_stage": DELETED if is_deleted(run) else ACTIVE,
    }
    return info | ({"end_time": milliseconds(run.end_time)} if run.HasField("end_time") else {})


def start_of(run: run_pb2.Run) -> int:
    """When a run started, in milliseconds; one that has not is said to have done so at its creation."""
    return milliseconds(run.start_time if run.HasField("start_time") else run.create_time)


def metric_document(value: metrics.LatestValue) -> Document:
    """The latest value of a metric."""
    return {
        "key": value.metric,
        "value": number(value.value),
        "timestamp": value.time // 1_000,
        "step": value.step,
    }


def params_of(run: run_pb2.Run) -> dict[str, str]:
    """The params of a run, in order of key."""
    found = {key.removeprefix(PARAM): value for key, value in run.properties.items() if key.startswith(PARAM)}
    return dict(sorted(found.items()))


def tags_of(run: run_pb2.Run) -> dict[str, str]:
    """The tags of a run in order of key: its own, those that stand for what the run history keeps elsewhere, and facts
    about where it comes from. A tag without a value is shown as one with an empty value."""
    tags = {key: value for key, value in run.properties.items() if key.startswith(SHOWN_PROPERTY)}
    if run.parent:
        tags[PARENT_TAG] = id_of(run.parent)
    if run.description:
        tags[NOTE_TAG] = run.description
    tags |= {tag.key: tag.value for tag in run.tags}
    tags[RUN_NAME_TAG] = run.display_name
    return dict(sorted(tags.items()))


def status_of(run: run_pb2.Run) -> str:
    """Where a run stands, in the words of MLflow."""
    return _STATUSES.get(run.status, "RUNNING")


def is_deleted(run: run_pb2.Run) -> bool:
    """Whether a run is deleted, by itself or with its experiment."""
    return run.HasField("delete_time") or run.HasField("experiment_archive_time")


def id_of(name: str) -> str:
    """The id of a run by its name."""
    return RunName.parse(name).run


def artifact_uri(experiment_id: str, run_id: str) -> str:
    """Where clients put the files of a run, and find them."""
    return f"mlflow-artifacts:/{experiment_id}/{run_id}/artifacts"


def milliseconds(time: Timestamp) -> int:
    """A time as it travels."""
    return time.seconds * 1_000 + time.nanos // 1_000_000
