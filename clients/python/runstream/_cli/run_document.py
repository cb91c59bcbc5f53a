"""The run document: a run as the command line of SDK v1 shows it."""

from runstream._cli.documents import Document, last_part, time_of
from runstream.api.runs.v1.run_pb2 import Run
from runstream.core._labels import from_tags
from runstream.core._run.details import to_error_details
from runstream.core._status import status_name


def run_document(run: Run) -> Document:
    """A run with all keys; what Runstream does not know, or does not have, is None. Tokens are never part of it."""
    return {
        "run_number": run.number or None,
        "root_run_id": last_part(run.root),
        "experiment_id": last_part(run.experiment),
        "_experiment_name": run.experiment_display_name,
        "created_utc": time_of(run, "create_time"),
        "user_id": run.creator or None,
        "run_id": last_part(run.name),
        "parent_run_id": last_part(run.parent) or None,
        "status": status_name(run.status),
        "start_time_utc": time_of(run, "start_time"),
        "end_time_utc": time_of(run, "end_time"),
        "heartbeat_enabled": run.heartbeat_enabled,
        "name": run.label or None,
        "display_name": run.display_name,
        "data_container_id": f"dcid.{last_part(run.name)}",
        "description": run.description or None,
        "hidden": run.hidden,
        "run_type": run.run_type or None,
        "run_type_v2": None,
        "properties": dict(sorted(run.properties.items())),
        "script_name": run.script_name or None,
        "target": run.target or None,
        "tags": from_tags(run.tags),
        "run_definition": None,
        "primary_metric_name": None,
        "created_from": None,
        "created_by": {"user_object_id": None, "user_tenant_id": None, "user_name": run.creator or None},
        "cancel_uri": None,
        "complete_uri": None,
        "diagnostics_uri": None,
        "error": to_error_details(run.error) if run.HasField("error") else None,
        "warnings": [{"source": warning.source, "message": warning.message} for warning in run.warnings],
        "queueing_info": None,
    }


def minimal_document(run: Run) -> Document:
    """A run as `run list --minimal` shows it."""
    return {
        "RunId": last_part(run.name),
        "RunType": run.run_type or None,
        "Status": status_name(run.status),
        "StartTime": time_of(run, "start_time"),
        "EndTime": time_of(run, "end_time"),
        "Target": run.target or None,
        "Tags": from_tags(run.tags),
    }
