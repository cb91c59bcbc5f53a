"""The command line as a process of its own, against all services."""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream.api.runs.v1.run_pb2 import Run
from runstream.api.runs.v1.workspace_pb2 import Tag

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
SECONDS = 60


class Served(Protocol):
    """The fixture `backend`."""

    address: str
    channel: Any


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


class Cli:
    """Calls the command line in a folder of its own; calls at the same time are welcome."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        environment = {key: value for key, value in os.environ.items() if not key.startswith("RUNSTREAM_")}
        self.environment = {
            **environment,
            "RUNSTREAM_ADDRESS": address,
            "RUNSTREAM_STATE_DIR": str(folder / "state"),
        }

    async def __call__(self, *arguments: str, code: int = 0) -> Outcome:
        """Runs a command to its end, which must be with this code."""
        process = await self.start(*arguments)
        async with asyncio.timeout(SECONDS):
            out, err = await process.communicate()
        outcome = Outcome(cast(int, process.returncode), out.decode(), err.decode())
        assert outcome.code == code, outcome
        assert "Traceback" not in outcome.err, outcome
        return outcome

    async def start(self, *arguments: str) -> asyncio.subprocess.Process:
        """Starts a command."""
        return await asyncio.create_subprocess_exec(
            *(RUNSTREAM, *arguments),
            cwd=self.folder,
            env=self.environment,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )


@pytest.fixture
def cli(backend: Served, tmp_path: Path) -> Cli:
    """The command line of a user of this test's services."""
    return Cli(tmp_path, backend.address)


@pytest.fixture
async def history(backend: Served) -> "RunHistoryServiceAsyncStub":
    """The run history of this test's services, with the workspace `default`."""
    stub = cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(backend.channel))
    await stub.CreateWorkspace(api.CreateWorkspaceRequest(workspace_id="default", return_existing=True))
    return stub


MakeRun = Callable[..., Awaitable[Run]]


@pytest.fixture
def make_run(history: "RunHistoryServiceAsyncStub") -> MakeRun:
    """Makes a run in an experiment of the workspace `default`, and starts it."""

    async def make(run_id: str, experiment: str = "digits", **attributes: Any) -> Run:
        tags = [Tag(key=key, value=value) for key, value in attributes.pop("tags", {}).items()]
        if "parent" in attributes:
            attributes["parent"] = f"workspaces/default/runs/{attributes['parent']}"
        else:
            request = api.CreateExperimentRequest(
                parent="workspaces/default", experiment=Experiment(display_name=experiment), return_existing=True
            )
            attributes["experiment"] = (await history.CreateExperiment(request)).experiment.name
        created = await history.CreateRun(
            api.CreateRunRequest(
                parent="workspaces/default", run=Run(tags=tags, **attributes), run_id=run_id, start=True
            )
        )
        return created.run

    return make
