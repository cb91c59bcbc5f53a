"""The columns of a run and how they become values. Rows do not leave `store`."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg

from runstream_server.runs.limits import text_bytes
from runstream_server.runs.model import Run, RunError, RunWarning, StatusChange
from runstream_server.runs.status import RunStatus

RUN = """
    r.workspace, r.run, r.experiment,
    (SELECT e.display_name FROM runs.experiment e WHERE e.workspace = r.workspace AND e.experiment = r.experiment)
        AS experiment_display_name,
    r.parent, r.root, r.number, r.run_type, r.display_name, r.description, r.status, r.tags, r.properties,
    r.create_time, r.start_time, r.end_time, r.update_time, r.heartbeat_enabled, r.error, r.warnings, r.creator,
    r.target, r.service_managed, r.max_run_duration, r.cancel_request_time, r.hidden, r.delete_time, r.script_name,
    r.label,
    (SELECT e.archive_time FROM runs.experiment e WHERE e.workspace = r.workspace AND e.experiment = r.experiment)
        AS experiment_archive_time"""
"""What a run is made of, in the order of its fields; `r` is its row."""

_FIXED_BYTES = 500
_WIDTH = len(Run._fields)
_STATUS = Run._fields.index("status")
_ERROR = Run._fields.index("error")
_WARNINGS = Run._fields.index("warnings")
_STATUSES = {status.value: status for status in RunStatus}


def run_of(row: asyncpg.Record) -> Run:
    """The run whose columns a row starts with."""
    values = list(row.values())[:_WIDTH]
    values[_STATUS] = _STATUSES[values[_STATUS]]
    if values[_ERROR] is not None:
        values[_ERROR] = _error(values[_ERROR])
    values[_WARNINGS] = tuple(map(warning_of, values[_WARNINGS]))
    return Run._make(values)


def history_of(entries: Sequence[Mapping[str, str]]) -> Sequence[StatusChange]:
    """A status history from its JSON."""
    return [StatusChange(_STATUSES[each["status"]], _time(each["time"]), each["reason"]) for each in entries]


def history_entry(status: RunStatus, time: datetime, reason: str = "") -> Mapping[str, str]:
    """The JSON of one entry of a status history."""
    return {"status": status.value, "time": time.isoformat(), "reason": reason}


def error_json(error: RunError) -> Mapping[str, str]:
    """The JSON of an error."""
    return {
        "code": error.code,
        "message": error.message,
        "exception_type": error.exception_type,
        "stack_trace": error.stack_trace,
        "time": error.time.isoformat(),
    }


def _error(value: Mapping[str, Any]) -> RunError:
    return RunError(
        value["code"], value["message"], value["exception_type"], value["stack_trace"], _time(value["time"])
    )


def warning_json(warning: RunWarning) -> Mapping[str, str]:
    """The JSON of a warning."""
    return {"source": warning.source, "message": warning.message, "time": warning.time.isoformat()}


def warning_of(value: Mapping[str, str]) -> RunWarning:
    """A warning from its JSON."""
    return RunWarning(value["source"], value["message"], _time(value["time"]))


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def run_bytes(run: Run) -> int:
    """About how many bytes a run takes in a message."""
    labels = (*run.tags.items(), *run.properties.items())
    texts = sum(text_bytes(key) + text_bytes(value) for key, value in labels)
    error = text_bytes(run.error.message) + text_bytes(run.error.stack_trace) if run.error else 0
    warnings = sum(text_bytes(warning.source) + text_bytes(warning.message) + 20 for warning in run.warnings)
    return _FIXED_BYTES + text_bytes(run.description) + texts + error + warnings
