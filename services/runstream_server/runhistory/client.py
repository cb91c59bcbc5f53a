"""Questions to the run history."""

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import TYPE_CHECKING

import grpc

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.errors import InvalidArgument, NotFound, Unavailable
from runstream_server.names import RunName, WorkspaceName
from runstream_server.not_found import RunNotFound, WorkspaceNotFound
from runstream_server.runhistory.summaries import MetricSummary

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

CALL_SECONDS = 10.0
"""How long a question may take."""

RETRYABLE = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.CANCELLED,
)
"""How calls end that may succeed later."""

_ENDED_OR_TO_CANCEL = "end_time:* OR status = CancelRequested"
ENDED = (run_pb2.RUN_STATUS_COMPLETED, run_pb2.RUN_STATUS_FAILED, run_pb2.RUN_STATUS_CANCELED)
"""The terminal statuses."""


class FilterRefused(InvalidArgument):
    """The run history refuses a filter of runs."""

    reason = "INVALID_FILTER"

    def __init__(self, problem: str) -> None:
        super().__init__(f"filter of runs: {problem}", problem=problem)


class RunHistoryUnavailable(Unavailable):
    """The run history does not answer."""

    reason = "RUN_HISTORY_UNAVAILABLE"

    def __init__(self) -> None:
        super().__init__("the run history does not answer; call again")


@dataclass(frozen=True, slots=True)
class RunFacts:
    """What other services want to know of a run."""

    name: RunName

    end_time: datetime | None
    """When the run reached a terminal status; None: it has not ended."""

    cancel_requested: bool
    """Whether somebody asked for the run to be cancelled."""

    is_deleted: bool = False
    """Whether the run is deleted, by itself or with its experiment."""


@dataclass(frozen=True, slots=True)
class RunChanges:
    """Runs that ended or are to be cancelled, and where to continue after them."""

    runs: Sequence[RunFacts]
    resume_token: str


class RunHistory:
    """Asks the run history. Every method raises RunHistoryUnavailable when it does not answer."""

    def __init__(self, channel: grpc.aio.Channel, stream_channel: grpc.aio.Channel) -> None:
        self._stub: RunHistoryServiceAsyncStub = RunHistoryServiceStub(channel)  # type: ignore[assignment]
        self._streams: RunHistoryServiceAsyncStub = RunHistoryServiceStub(stream_channel)  # type: ignore[assignment]

    async def get_run(self, name: RunName) -> RunFacts:
        """Returns what is known of a run; raises RunNotFound."""
        request = messages.GetRunRequest(name=str(name))
        with _trouble(RunNotFound(name)):
            response = await self._stub.GetRun(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return _facts(response.run)

    async def get_runs(self, names: Sequence[RunName]) -> Sequence[RunFacts]:
        """Returns what is known of 1 to 1,000 runs of one workspace; raises RunNotFound if one of them is not known."""
        parent = str(WorkspaceName(names[0].workspace))
        request = messages.BatchGetRunsRequest(parent=parent, names=[str(name) for name in names])
        with _trouble(RunNotFound(names[0])):
            response = await self._stub.BatchGetRuns(request, timeout=CALL_SECONDS, wait_for_ready=True)
        return [_facts(run) for run in response.runs]

    async def ended(self, runs: Iterable[RunName]) -> Sequence[RunName]:
        """Which of up to 1,000 runs have ended, or are no longer known: nobody writes to them. In order of name."""
        ended: list[RunName] = []
        for _, of_workspace in groupby(sorted(runs), key=lambda run: run.workspace):
            ended.extend(await self._ended_of(list(of_workspace)))
        return ended

    async def _ended_of(self, runs: Sequence[RunName]) -> Sequence[RunName]:
        try:
            return [run.name for run in await self.get_runs(runs) if run.end_time is not None]
        except RunNotFound:
            return [run for run in runs if await self._has_ended(run)]

    async def _has_ended(self, run: RunName) -> bool:
        try:
            return (await self.get_run(run)).end_time is not None
        except RunNotFound:
            return True

    async def check_workspace(self, name: WorkspaceName) -> None:
        """Raises WorkspaceNotFound if no workspace has this name."""
        request = messages.GetWorkspaceRequest(name=str(name))
        with _trouble(WorkspaceNotFound(name)):
            await self._stub.GetWorkspace(request, timeout=CALL_SECONDS, wait_for_ready=True)

    async def log_retention(self, name: WorkspaceName) -> timedelta | None:
        """For how long a workspace keeps log files, None for ever; raises WorkspaceNotFound."""
        request = messages.GetWorkspaceRequest(name=str(name))
        with _trouble(WorkspaceNotFound(name)):
            response = await self._stub.GetWorkspace(request, timeout=CALL_SECONDS, wait_for_ready=True)
        workspace = response.workspace
        return workspace.log_retention.ToTimedelta() if workspace.HasField("log_retention") else None

    async def list_runs(
        self, name: WorkspaceName, filter_: str, page_token: str, page_size: int
    ) -> tuple[Sequence[RunName], str]:
        """Returns a page of the runs of a workspace that a filter admits, newest first, and the token of the next one.

        Raises:
            WorkspaceNotFound: There is no such workspace.
            FilterRefused: The filter is wrong.
        """
        request = messages.ListRunsRequest(
            parent=str(name), filter=filter_, page_token=page_token, page_size=page_size, view=run_pb2.RUN_VIEW_BASIC
        )
        try:
            with _trouble(WorkspaceNotFound(name)):
                response = await self._stub.ListRuns(request, timeout=CALL_SECONDS, wait_for_ready=True)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.INVALID_ARGUMENT:
                raise FilterRefused(error.details() or "") from None
            raise
        return [RunName.parse(run.name) for run in response.runs], response.next_page_token

    async def record_summaries(self, summaries: Mapping[RunName, Sequence[MetricSummary]]) -> None:
        """Hands over metric summaries of up to 1,000 runs, up to 10,000 of each."""
        request = messages.RecordMetricSummariesRequest(
            runs=[
                messages.RunMetricSummaries(run=str(run), summaries=[_summary(each) for each in of_run])
                for run, of_run in summaries.items()
            ]
        )
        with _trouble():
            await self._stub.RecordMetricSummaries(request, timeout=CALL_SECONDS, wait_for_ready=True)

    async def watch(self, workspace: str, resume_token: str) -> AsyncGenerator[RunChanges, None]:
        """Streams runs that end or are to be cancelled, from a resume token or from now, until the stream breaks."""
        request = messages.WatchRunsRequest(
            parent=str(WorkspaceName(workspace)), filter=_ENDED_OR_TO_CANCEL, resume_token=resume_token
        )
        call = self._streams.WatchRuns(request, wait_for_ready=True)
        try:
            with _trouble(WorkspaceNotFound(WorkspaceName(workspace))):
                async for response in call:
                    yield RunChanges(
                        [
                            _facts(change.run)
                            for change in response.changes
                            if change.kind == messages.RUN_CHANGE_KIND_UPDATED
                        ],
                        response.resume_token,
                    )
        finally:
            call.cancel()


@contextmanager
def _trouble(not_found: NotFound | None = None) -> Iterator[None]:
    try:
        yield
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND and not_found is not None:
            raise not_found from None
        if error.code() in RETRYABLE:
            raise RunHistoryUnavailable from error
        raise


def _facts(run: run_pb2.Run) -> RunFacts:
    ended = run.status in ENDED
    return RunFacts(
        name=RunName.parse(run.name),
        end_time=run.end_time.ToDatetime(UTC) if ended else None,
        cancel_requested=run.HasField("cancel_request_time"),
        is_deleted=run.HasField("delete_time") or run.HasField("experiment_archive_time"),
    )


def _summary(summary: MetricSummary) -> run_pb2.MetricSummary:
    return run_pb2.MetricSummary(
        metric=summary.metric,
        last=summary.last,
        min=summary.min,
        max=summary.max,
        count=summary.count,
        revision=summary.revision,
    )
