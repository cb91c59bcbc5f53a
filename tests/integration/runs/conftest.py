"""What tests of the run history stand on."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, cast

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream.api.runs.v1.run_pb2 import Run

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

WORKSPACE = "workspaces/team"


@pytest.fixture
async def runs(backend: Any) -> "RunHistoryServiceAsyncStub":
    """The service, with the workspace `team`."""
    stub = cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(backend.channel))
    await stub.CreateWorkspace(messages.CreateWorkspaceRequest(workspace_id="team"))
    return stub


@pytest.fixture
async def experiment(runs: "RunHistoryServiceAsyncStub") -> str:
    """The name of the experiment `digits`."""
    request = messages.CreateExperimentRequest(parent=WORKSPACE, experiment=Experiment(display_name="digits"))
    response = await runs.CreateExperiment(request)
    return str(response.experiment.name)


@pytest.fixture
def create(runs: "RunHistoryServiceAsyncStub", experiment: str) -> Callable[..., Awaitable[Run]]:
    """Creates a run of `digits`: fields of Run, and `run_id`, `start`, `request_id`."""

    async def create(*, run_id: str = "", start: bool = False, request_id: str = "", **fields: Any) -> Run:
        if "parent" not in fields:
            fields.setdefault("experiment", experiment)
        request = messages.CreateRunRequest(
            parent=WORKSPACE, run=Run(**fields), run_id=run_id, start=start, request_id=request_id
        )
        return (await runs.CreateRun(request)).run

    return create
