"""Runs that a service manages: it creates them and moves them from status to status."""

import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.errors import FailedPrecondition, NotFound
from runstream_server.names import RunName, WorkspaceName
from runstream_server.runhistory.client import CALL_SECONDS, ENDED, RETRYABLE, RunHistoryUnavailable
from runstream_server.runhistory.passing import refusal

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

_INVALID_STATUS_CHANGE = "INVALID_STATUS_CHANGE"
_PREFIX = "RUN_STATUS_"


@dataclass(frozen=True, slots=True)
class ManagedRun:
    """A run as it is now."""

    name: RunName

    status: str
    """As the contract calls it, without the prefix: `CANCEL_REQUESTED` for example."""

    has_ended: bool

    message: bytes
    """The run as the run history says it, for callers."""

    @property
    def is_to_cancel(self) -> bool:
        """Whether somebody asked for the run to be cancelled, and it has not ended."""
        return self.status == "CANCEL_REQUESTED"


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a run."""

    code: str
    message: str
    exception_type: str = ""
    stack_trace: str = ""


@dataclass(frozen=True, slots=True)
class StatusEntry:
    """A status for a run to enter."""

    status: str
    """As in `ManagedRun`."""

    reason: str = ""

    failure: Failure | None = None
    """Recorded if the run enters the status and has no error yet."""

    time: datetime | None = None
    """When it happened; None: now."""


class StatusRefused(FailedPrecondition):
    """The status cannot follow the present one."""

    reason = _INVALID_STATUS_CHANGE


class ManagedRuns:
    """Creates and moves runs. Every method raises RunHistoryUnavailable when the run history does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: RunHistoryServiceAsyncStub = RunHistoryServiceStub(channel)  # type: ignore[assignment]

    async def create(self, name: RunName, run: bytes, request_id: uuid.UUID) -> ManagedRun:
        """Creates a run from its message, once for each request id; raises whatever the run history refuses."""
        request = messages.CreateRunRequest(
            parent=str(WorkspaceName(name.workspace)),
            run=run_pb2.Run.FromString(run),
            run_id=name.run,
            request_id=str(request_id),
        )
        with _passing_on():
            response = await self._stub.CreateRun(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return _managed(response.run)

    async def get(self, name: RunName) -> ManagedRun:
        """Returns a run; raises NotFound."""
        with _passing_on():
            request = messages.GetRunRequest(name=str(name))
            response = await self._stub.GetRun(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return _managed(response.run)

    async def get_known(self, names: Sequence[RunName]) -> Sequence[ManagedRun]:
        """Returns those of up to 1,000 runs of one workspace that exist."""
        try:
            return await self._get_all(names)
        except NotFound:
            return [run for name in names for run in await self._get_if_known(name)]

    async def _get_all(self, names: Sequence[RunName]) -> Sequence[ManagedRun]:
        parent = str(WorkspaceName(names[0].workspace))
        request = messages.BatchGetRunsRequest(parent=parent, names=map(str, names))
        with _passing_on():
            response = await self._stub.BatchGetRuns(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return [_managed(run) for run in response.runs]

    async def _get_if_known(self, name: RunName) -> Sequence[ManagedRun]:
        try:
            return [await self.get(name)]
        except NotFound:
            return []

    async def enter(self, name: RunName, entry: StatusEntry) -> ManagedRun:
        """Moves a run into a status; one that has ended, or has that status, stays as it is.

        Raises:
            NotFound: No run has this name.
            StatusRefused: The status cannot follow the present one.
        """
        request = messages.UpdateRunRequest(
            run=run_pb2.Run(name=str(name), status=run_pb2.RunStatus.Value(_PREFIX + entry.status)),
            update_mask=FieldMask(paths=["status", "error"] if entry.failure else ["status"]),
            reason=entry.reason,
            keep_error=True,
        )
        if entry.failure:
            request.run.error.CopyFrom(_error(entry.failure))
        if entry.time:
            request.time.FromDatetime(entry.time)
        with _passing_on():
            response = await self._stub.UpdateRun(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return _managed(response.run)

    async def beat(self, name: RunName) -> tuple[str, bool]:
        """Says that a run is alive; returns its status and whether its process is asked to stop; raises NotFound."""
        request = messages.HeartbeatRequest(name=str(name))
        with _passing_on():
            response = await self._stub.Heartbeat(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return _status(response.status), response.cancel_requested


@contextmanager
def _passing_on() -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() in RETRYABLE:
            raise RunHistoryUnavailable from error
        passed = refusal(error)
        if passed is None:
            raise
        if passed.reason == _INVALID_STATUS_CHANGE:
            raise StatusRefused(passed.message, **passed.metadata) from None
        raise passed from None


def _managed(run: run_pb2.Run) -> ManagedRun:
    return ManagedRun(
        name=RunName.parse(run.name),
        status=_status(run.status),
        has_ended=run.status in ENDED,
        message=run.SerializeToString(),
    )


def _status(status: "run_pb2.RunStatus.ValueType") -> str:
    return run_pb2.RunStatus.Name(status).removeprefix(_PREFIX)


def _error(failure: Failure) -> run_pb2.RunError:
    return run_pb2.RunError(
        code=failure.code,
        message=failure.message,
        exception_type=failure.exception_type,
        stack_trace=failure.stack_trace,
    )
