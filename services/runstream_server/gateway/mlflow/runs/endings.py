"""What clients say of the status of runs, and what the run history makes of it."""

from google.protobuf.timestamp_pb2 import Timestamp

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor

RESUMED = "logged to again after its end; its status stays as it was"
WARNING_SOURCE = "mlflow"

_STATUSES = ("RUNNING", "SCHEDULED", "FINISHED", "FAILED", "KILLED")
_ENDED = (run_pb2.RUN_STATUS_COMPLETED, run_pb2.RUN_STATUS_FAILED, run_pb2.RUN_STATUS_CANCELED)
_NO_WAY = ("INVALID_STATUS_CHANGE", "RUN_MANAGED")


def read_status(fields: Fields) -> str:
    """The status that a request tells, as a word or as its number; empty: none."""
    value = fields.raw("status")
    if isinstance(value, int) and not isinstance(value, bool):
        value = _STATUSES[value - 1] if 1 <= value <= len(_STATUSES) else "?"
    if value in (None, ""):
        return ""
    if value not in _STATUSES:
        raise fields.error("status", f"expected one of {', '.join(_STATUSES)}")
    return str(value)


class RunEndings:
    """Moves runs on, as far as their statuses allow: a status that cannot follow is taken note of, and changes nothing.

    Clients resume runs that have ended, and end those whose end is known by other means; neither must fail.
    """

    async def enter(self, visitor: Visitor, run: run_pb2.Run, status: str, end_time: Timestamp | None) -> run_pb2.Run:
        """Enters a status; returns the run as it now is."""
        if run.status in _ENDED:
            if status == "RUNNING":
                await self._note_resume(visitor, run)
            return run
        if run.service_managed:
            return run
        try:
            return await self._enter(visitor, run, status, end_time)
        except Refusal as refusal:
            if refusal.reason in _NO_WAY:
                return run
            raise

    async def _enter(self, visitor: Visitor, run: run_pb2.Run, status: str, end_time: Timestamp | None) -> run_pb2.Run:
        runs, name = visitor.services.runs, run.name
        match status:
            case "RUNNING":
                start = messages.StartRunRequest(name=name)
                return (await visitor.call(runs.StartRun, start, messages.StartRunResponse)).run
            case "FINISHED":
                await self._start_unless_running(visitor, run, end_time)
                complete = messages.CompleteRunRequest(name=name, end_time=end_time)
                return (await visitor.call(runs.CompleteRun, complete, messages.CompleteRunResponse)).run
            case "FAILED":
                fail = messages.FailRunRequest(name=name, end_time=end_time)
                return (await visitor.call(runs.FailRun, fail, messages.FailRunResponse)).run
            case "KILLED":
                cancel = messages.CancelRunRequest(name=name, end_time=end_time)
                return (await visitor.call(runs.CancelRun, cancel, messages.CancelRunResponse)).run
        return run

    async def _start_unless_running(self, visitor: Visitor, run: run_pb2.Run, time: Timestamp | None) -> None:
        if run.status == run_pb2.RUN_STATUS_NOT_STARTED:
            start = messages.StartRunRequest(name=run.name, start_time=time)
            await visitor.call(visitor.services.runs.StartRun, start, messages.StartRunResponse)

    async def _note_resume(self, visitor: Visitor, run: run_pb2.Run) -> None:
        warning = run_pb2.RunWarning(source=WARNING_SOURCE, message=RESUMED)
        request = messages.AddWarningsRequest(name=run.name, warnings=[warning])
        await visitor.call(visitor.services.runs.AddWarnings, request, messages.AddWarningsResponse)
