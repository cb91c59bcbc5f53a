"""The status machine: which status may follow which. The only place that knows; the store enforces it in SQL."""

from collections.abc import Mapping
from enum import StrEnum


class RunStatus(StrEnum):
    """Where a run stands; the values are the names that users know."""

    NOT_STARTED = "NotStarted"
    UNAPPROVED = "Unapproved"
    PAUSING = "Pausing"
    PAUSED = "Paused"
    STARTING = "Starting"
    PREPARING = "Preparing"
    PROVISIONING = "Provisioning"
    QUEUED = "Queued"
    RUNNING = "Running"
    FINALIZING = "Finalizing"
    CANCEL_REQUESTED = "CancelRequested"
    COMPLETED = "Completed"
    FAILED = "Failed"
    CANCELED = "Canceled"
    NOT_RESPONDING = "NotResponding"

    @property
    def is_terminal(self) -> bool:
        """Whether no status follows."""
        return self in TERMINAL


TERMINAL = frozenset({RunStatus.COMPLETED, RunStatus.FAILED, RunStatus.CANCELED})
_STOPPING = frozenset({RunStatus.CANCEL_REQUESTED, RunStatus.CANCELED, RunStatus.FAILED})

FOLLOWERS: Mapping[RunStatus, frozenset[RunStatus]] = {
    RunStatus.NOT_STARTED: _STOPPING
    | {
        RunStatus.STARTING,
        RunStatus.PROVISIONING,
        RunStatus.PREPARING,
        RunStatus.QUEUED,
        RunStatus.RUNNING,
        RunStatus.UNAPPROVED,
    },
    RunStatus.UNAPPROVED: _STOPPING | {RunStatus.STARTING, RunStatus.QUEUED},
    RunStatus.STARTING: _STOPPING | {RunStatus.PROVISIONING, RunStatus.PREPARING, RunStatus.QUEUED, RunStatus.RUNNING},
    RunStatus.PROVISIONING: _STOPPING | {RunStatus.PREPARING, RunStatus.QUEUED, RunStatus.RUNNING},
    RunStatus.PREPARING: _STOPPING | {RunStatus.QUEUED, RunStatus.RUNNING},
    RunStatus.QUEUED: _STOPPING | {RunStatus.RUNNING, RunStatus.PREPARING, RunStatus.PAUSED},
    RunStatus.RUNNING: _STOPPING
    | {RunStatus.FINALIZING, RunStatus.COMPLETED, RunStatus.NOT_RESPONDING, RunStatus.PAUSING},
    RunStatus.PAUSING: _STOPPING | {RunStatus.PAUSED},
    RunStatus.PAUSED: _STOPPING | {RunStatus.QUEUED, RunStatus.RUNNING},
    RunStatus.FINALIZING: _STOPPING | {RunStatus.COMPLETED},
    RunStatus.CANCEL_REQUESTED: TERMINAL,
    # Only running runs are expected to respond, so the status they come from, and go back to, is always that one; one
    # whose runner is lost may be executed again.
    RunStatus.NOT_RESPONDING: TERMINAL | {RunStatus.RUNNING, RunStatus.QUEUED},
    RunStatus.COMPLETED: frozenset(),
    RunStatus.FAILED: frozenset(),
    RunStatus.CANCELED: frozenset(),
}
"""What may follow each status. Staying is no change, and always allowed."""
