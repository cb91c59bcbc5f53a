"""Which runs are below which, for whoever decides what a token of a run reaches."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.names import ExperimentName, RunName, WorkspaceName
from runstream_server.runhistory.client import CALL_SECONDS, RETRYABLE, RunHistoryUnavailable

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

_SNAPSHOT_PROPERTY = "ContentSnapshotId"


@dataclass(frozen=True, slots=True)
class RunPlace:
    """Where a run stands among others."""

    experiment: ExperimentName
    parent: RunName | None

    snapshot: str
    """The id of the snapshot that the run says it was made from; empty: it says nothing."""

    is_deleted: bool


class Lineage:
    """Asks the run history. Every method raises RunHistoryUnavailable when it does not answer."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub: RunHistoryServiceAsyncStub = RunHistoryServiceStub(channel)  # type: ignore[assignment]

    async def place(self, run: RunName) -> RunPlace | None:
        """Returns where a run stands; None if there is none."""
        try:
            request = messages.GetRunRequest(name=str(run))
            response = await self._stub.GetRun(request, timeout=CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise _trouble(error) from error
        return _place(response.run)

    async def places(self, runs: Sequence[RunName]) -> Sequence[RunPlace] | None:
        """Returns where up to 1,000 runs of one workspace stand.

        None if one of them does not exist, or they take more than one answer may.
        """
        parent = str(WorkspaceName(runs[0].workspace))
        try:
            request = messages.BatchGetRunsRequest(parent=parent, names=map(str, runs))
            response = await self._stub.BatchGetRuns(request, timeout=CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() in RETRYABLE:
                raise RunHistoryUnavailable from error
            return None
        return [_place(run) for run in response.runs]

    async def is_made_below(self, run: RunName, snapshot: str) -> bool:
        """Whether a run below another one says that it was made from a snapshot."""
        request = messages.ListRunsRequest(
            parent=str(WorkspaceName(run.workspace)),
            filter=f'ancestor = "{run}" AND properties.{_SNAPSHOT_PROPERTY} = "{snapshot}" AND {EVEN_HIDDEN}',
            page_size=1,
            show_deleted=True,
        )
        try:
            response = await self._stub.ListRuns(request, timeout=CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            raise _trouble(error) from error
        return bool(response.runs)


EVEN_HIDDEN = "(hidden = true OR hidden = false)"
"""A filter that admits hidden runs too."""


def _trouble(error: grpc.aio.AioRpcError) -> Exception:
    return RunHistoryUnavailable() if error.code() in RETRYABLE else error


def _place(run: run_pb2.Run) -> RunPlace:
    return RunPlace(
        experiment=ExperimentName.parse(run.experiment),
        parent=RunName.parse(run.parent) if run.parent else None,
        snapshot=run.properties.get(_SNAPSHOT_PROPERTY, ""),
        is_deleted=run.HasField("delete_time"),
    )
