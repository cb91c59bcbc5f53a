"""What the run history knows of the runs of a sweep."""

from typing import TYPE_CHECKING, Any, Final

from runstream._channel.pages import pages
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import _filters as filters
from runstream.train.hyperdrive.runconfig import PrimaryMetricGoal

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls

PAGE_SIZE: Final = 500


async def child_records(workspace: "WorkspaceCalls[Any, Any, Any]", sweep: str) -> list[run_pb2.Run]:
    """The runs of a sweep, by its id; newest first."""
    connection = workspace._connection()
    request = api.ListRunsRequest(
        parent=workspace._record.name,
        filter=filters.equals("parent", sweep),
        page_size=PAGE_SIZE,
        view=run_pb2.RUN_VIEW_FULL,
    )
    listed = pages(connection, connection.runs.ListRuns, request)
    return [run async for page in listed for run in page.runs]


def best_value(record: run_pb2.Run, metric: str, goal: PrimaryMetricGoal) -> float | None:
    """The best value of a metric of a run; None: no number was logged."""
    for summary in record.metric_summaries:
        if summary.metric == metric and summary.HasField("min"):
            return summary.max if goal is PrimaryMetricGoal.MAXIMIZE else summary.min
    return None
