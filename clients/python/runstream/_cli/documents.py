"""What commands return: messages of the services as documents of JSON values, with keys in snake_case."""

from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.message import Message

from runstream.api.artifacts.v1.artifact_service_pb2 import Artifact
from runstream.api.logs.v1.log_service_pb2 import LogFile, LogLine, LogMatch
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.workspace_pb2 import Workspace
from runstream.core._labels import from_tags
from runstream.core._run.details import time_text

Document = dict[str, Any]

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def experiment_document(experiment: Experiment) -> Document:
    """An experiment."""
    return {
        "id": last_part(experiment.name),
        "name": experiment.display_name,
        "workspace_name": experiment.name.split("/")[1],
        "description": experiment.description or None,
        "tags": from_tags(experiment.tags),
        "created_utc": time_of(experiment, "create_time"),
        "updated_utc": time_of(experiment, "update_time"),
        "archived_utc": time_of(experiment, "archive_time"),
    }


def workspace_document(workspace: Workspace) -> Document:
    """A workspace."""
    return {
        "name": last_part(workspace.name),
        "display_name": workspace.display_name,
        "description": workspace.description or None,
        "tags": from_tags(workspace.tags),
        "created_utc": time_of(workspace, "create_time"),
        "updated_utc": time_of(workspace, "update_time"),
        "mlflow_tracking_uri": workspace.gateway_url or None,
    }


def artifact_document(artifact: Artifact) -> Document:
    """A file of a run."""
    return {
        "path": artifact.path,
        "size_bytes": artifact.size_bytes,
        "sha256": artifact.digest,
        "created_utc": time_of(artifact, "create_time"),
    }


def log_document(file: LogFile) -> Document:
    """A log file of a run."""
    return {
        "path": file.path,
        "size_bytes": file.size_bytes,
        "created_utc": time_of(file, "create_time"),
        "updated_utc": time_of(file, "update_time"),
        "is_finished": file.finished,
    }


def match_document(match: LogMatch) -> Document:
    """A line of a log that a pattern matches."""
    return {
        "run_id": last_part(match.run),
        "path": match.path,
        **_line(match.line),
        "time_utc": time_of(match.line, "write_time"),
        "before": [_line(line) for line in match.before],
        "after": [_line(line) for line in match.after],
    }


def _line(line: LogLine) -> Document:
    return {"line": line.number, "text": line.data.decode("utf-8", "replace")}


def last_part(name: str) -> str:
    """The id at the end of a resource name."""
    return name.rpartition("/")[2]


def time_of(message: Message, field: str) -> str | None:
    """A time of a message as `YYYY-MM-DDTHH:MM:SS.ffffffZ`; None when it is absent."""
    if not message.HasField(field):
        return None
    return time_text(getattr(message, field))


def microseconds_text(time: int) -> str:
    """A time in microseconds since the Unix epoch as `YYYY-MM-DDTHH:MM:SS.ffffffZ`."""
    return (EPOCH + timedelta(microseconds=time)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
