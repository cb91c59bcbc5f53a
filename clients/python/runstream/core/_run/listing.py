"""Lists runs."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core._forms import form_of
from runstream.core._listing import Listing

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls

PAGE_SIZE = 500
NEWEST_FIRST = "start_time desc"


def list_runs(
    workspace: "WorkspaceCalls[Any, Any, Any]",
    title: str,
    query: str,
    *,
    typed: bool = True,
    limit: int | None = None,
) -> Listing[Any]:
    """A lazy listing of the runs that `query` admits, newest first.

    With `typed` each is an object of the class for its type, else all are plain runs.
    """
    run_class = form_of(type(workspace)).run
    make: Callable[..., Any] = run_class._typed if typed else run_class._of

    async def fetch(token: str) -> tuple[list[Any], str]:
        records, following = await _fetch_page(workspace, query, token, min(PAGE_SIZE, limit or PAGE_SIZE))
        return [make(workspace, record) for record in records], following

    return Listing(f"{title} where {query}" if query else title, fetch, lambda run: str(run.id), limit)


async def list_records(workspace: "WorkspaceCalls[Any, Any, Any]", query: str) -> list[run_pb2.Run]:
    """The records of all runs that `query` admits, newest first."""
    found, token = await _fetch_page(workspace, query, "", PAGE_SIZE)
    while token:
        more, token = await _fetch_page(workspace, query, token, PAGE_SIZE)
        found.extend(more)
    return found


async def _fetch_page(
    workspace: "WorkspaceCalls[Any, Any, Any]", query: str, token: str, size: int
) -> tuple[list[run_pb2.Run], str]:
    connection = workspace._connection()
    request = api.ListRunsRequest(
        parent=workspace._record.name, filter=query, order_by=NEWEST_FIRST, page_size=size, page_token=token
    )
    response = await connection.call(connection.runs.ListRuns, request, timeout=60.0)
    return list(response.runs), response.next_page_token
