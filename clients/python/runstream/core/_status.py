"""The names of statuses and the groups they belong to."""

from runstream.api.runs.v1 import run_pb2

COMPLETED, FAILED, CANCELED = "Completed", "Failed", "Canceled"
CANCEL_REQUESTED, FINALIZING, RUNNING = "CancelRequested", "Finalizing", "Running"

TERMINAL = frozenset({COMPLETED, FAILED, CANCELED})


def status_name(value: int) -> str:
    """The name users know, `NotStarted` for `RUN_STATUS_NOT_STARTED`; a value of a newer service counts as running."""
    if value not in run_pb2.RunStatus.values() or value == run_pb2.RUN_STATUS_UNSPECIFIED:
        return RUNNING
    words = run_pb2.RunStatus.Name(run_pb2.RunStatus.ValueType(value)).removeprefix("RUN_STATUS_").split("_")
    return "".join(word.capitalize() for word in words)


def ends_wait(status: str, *, wait_post_processing: bool) -> bool:
    """Whether a wait for the end of a run is over at `status`; a status nobody knows counts as running."""
    return status in TERMINAL or (status == CANCEL_REQUESTED and not wait_post_processing)
