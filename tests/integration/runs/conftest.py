"""What tests of the run history stand on."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream.api.runs.v1.run_pb2 import Run
from runstream_server.auth import open_auth
from runstream_server.auth_config import AuthConfig
from runstream_server.gateway_config import GatewayConfig
from runstream_server.postgres import Hints, Postgres
from runstream_server.runs.model import Labels, NewRun, RunKind
from runstream_server.runs.model import Run as StoredRun
from runstream_server.runs.mount import rules_on
from runstream_server.runs.rules.feed import Feeds
from runstream_server.runs.rules.reaper import Reaper
from runstream_server.runs.servicer.base import Rules
from runstream_server.runs.store.changes import ChangeStore
from runstream_server.runs.store.heartbeats import HeartbeatStore
from runstream_server.runs.store.keys import signing_key
from runstream_server.runs.store.requests import RequestStore
from runstream_server.tokens import Signer

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


@dataclass
class Clock:
    """A time that passes only when told to."""

    time: datetime = datetime(2025, 6, 1, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.time

    def advance(self, seconds: float) -> None:
        """Lets time pass."""
        self.time += timedelta(seconds=seconds)


@dataclass(frozen=True)
class History:
    """The rules of the run history on a database of their own, without a port."""

    rules: Rules
    postgres: Postgres
    clock: Clock
    hints: Hints
    draining: asyncio.Event
    reaper: Reaper

    async def make_experiment(self, display_name: str = "digits", workspace: str = "team") -> str:
        """The identifier of an experiment, made with its workspace if it is not there."""
        labels: Any = {"description": "", "tags": {}, "request_id": None, "return_existing": True}
        await self.rules.workspaces.create(workspace, display_name="", log_retention=None, **labels)
        return (await self.rules.experiments.create(workspace, display_name=display_name, **labels)).experiment

    def new_run(self, run: str = "", **fields: Any) -> NewRun:
        """A run to create."""
        blank: dict[str, Any] = {
            **dict.fromkeys(
                ("display_name", "run_type", "description", "creator", "target", "script_name", "label"), ""
            ),
            **dict.fromkeys(("heartbeat_enabled", "service_managed", "hidden", "start"), False),
            **dict.fromkeys(("experiment", "parent", "max_run_duration")),
            "tags": {},
            "properties": {},
        }
        of_kind = {**blank, **fields}
        display_name = of_kind.pop("display_name")
        labels = Labels(of_kind.pop("tags"), of_kind.pop("properties"))
        return NewRun(run or self.rules.identifiers.make(), display_name, labels, RunKind(**of_kind))

    async def make_runs(self, *new: NewRun) -> Sequence[StoredRun]:
        """Creates runs of the workspace `team`."""
        runs, _ = await self.rules.creations.create_batch("team", new, None)
        return runs

    async def count(self, table: str) -> int:
        """How many rows a table of the run history has."""
        return int(await self.postgres.fetchval(f"SELECT count(*) FROM runs.{table}"))


@pytest.fixture
async def history(postgres: Postgres) -> AsyncIterator[History]:
    """The rules of the run history on this test's database."""
    clock, hints, draining = Clock(), Hints(), asyncio.Event()
    async with open_auth(AuthConfig(), postgres, clock) as auth, asyncio.TaskGroup() as tasks:
        config = SimpleNamespace(gateway=GatewayConfig())
        platform: Any = SimpleNamespace(
            postgres=postgres, hints=hints, draining=draining, now=clock, auth=auth, config=config
        )
        changes = ChangeStore(postgres)
        feeds = Feeds(changes, hints, draining, tasks)
        rules = rules_on(platform, Signer(await signing_key(postgres)), changes, feeds)
        running = [tasks.create_task(rules.creations.commit_forever()), tasks.create_task(feeds.wake_when_draining())]
        reaper = Reaper(HeartbeatStore(postgres), RequestStore(postgres), hints, clock)
        yield History(rules, postgres, clock, hints, draining, reaper)
        feeds.stop()
        for task in running:
            task.cancel()


@pytest.fixture
async def digits(history: History) -> str:
    """The identifier of the experiment `digits` of the workspace `team`."""
    return await history.make_experiment()
