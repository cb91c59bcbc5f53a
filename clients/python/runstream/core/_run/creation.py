"""Makes interactive runs."""

import getpass
import os
import socket
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core._labels import to_tags

if TYPE_CHECKING:
    from runstream.core._workspace import WorkspaceCalls


@dataclass(frozen=True, kw_only=True)
class NewRun:
    """A run to be made."""

    run_id: str | None = None
    """Default: a UUID."""

    label: str = ""
    display_name: str = ""
    experiment: str = ""
    """The resource name; may be left out when there is a parent."""

    parent: str = ""
    """The resource name; empty: a top-level run."""

    tags: Mapping[str, object] = field(default_factory=dict)
    properties: Mapping[str, str] = field(default_factory=dict)


async def create_run(workspace: "WorkspaceCalls[Any, Any, Any]", new: NewRun) -> run_pb2.Run:
    """Creates an interactive run and starts it."""
    connection = workspace._connection()
    response = await connection.call(connection.runs.CreateRun, _request(workspace._record.name, new))
    return response.run


async def create_runs(workspace: "WorkspaceCalls[Any, Any, Any]", new: Sequence[NewRun]) -> list[run_pb2.Run]:
    """Creates interactive runs and starts them, all of them or none; they come back in the same order."""
    connection = workspace._connection()
    parent = workspace._record.name
    request = api.BatchCreateRunsRequest(parent=parent, requests=[_request(parent, each) for each in new])
    return list((await connection.call(connection.runs.BatchCreateRuns, request)).runs)


def current_user() -> str:
    """Who runs this process, as far as the machine knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"{os.getuid()}@{socket.gethostname()}"


def _request(workspace: str, new: NewRun) -> api.CreateRunRequest:
    run = run_pb2.Run(
        experiment=new.experiment,
        parent=new.parent,
        label=new.label,
        display_name=new.display_name,
        tags=to_tags(new.tags),
        properties=new.properties,
        creator=current_user(),
        heartbeat_enabled=True,
    )
    return api.CreateRunRequest(parent=workspace, run=run, run_id=new.run_id or str(uuid.uuid4()), start=True)
