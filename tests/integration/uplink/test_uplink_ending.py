"""A run whose script ends while the services are away ends when they are back."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runstream._spool.records import EndOfRun
from runstream.api.artifacts.v1.artifact_service_pb2 import ListArtifactsRequest
from runstream.api.runs.v1 import run_pb2
from runstream.api.runs.v1.run_history_service_pb2 import CancelRunRequest, CompleteRunRequest, GetRunRequest
from runstream.api.runs.v1.workspace_pb2 import Workspace as WorkspaceRecord
from runstream.core import Run, Workspace
from runstream.core._config import WorkspaceConfig
from runstream.core._outputs import TrackedOutputs
from runstream_server.config import Config
from tests import stubs
from tests.conditions import until_answered
from tests.conftest import Backend, serve
from tests.make_runs import make_run
from tests.spools import Spools, warnings


async def record_of(backend: Backend, run: str) -> run_pb2.Run:
    return (await stubs.run_history(backend.channel).GetRun(GetRunRequest(name=run))).run


async def files_of(backend: Backend, run: str) -> list[str]:
    response = await stubs.artifacts(backend.channel).ListArtifacts(ListArtifactsRequest(parent=run))
    return [artifact.path for artifact in response.artifacts]


def local_run(address: str, run: str, outputs: Path) -> Run:
    """The run as a script has it that never reached the services."""
    record = WorkspaceRecord(name=run.partition("/runs/")[0])
    workspace = Workspace._of(address, record, WorkspaceConfig("space", "", ""))
    made: Run = Run._of(workspace, run_pb2.Run(name=run, status=run_pb2.RUN_STATUS_RUNNING))
    made._outputs = TrackedOutputs(outputs, "outputs")
    return made


async def has_ended(backend: Backend, run: str) -> run_pb2.Run:
    async def ended() -> bool:
        return (await record_of(backend, run)).HasField("end_time")

    await until_answered(ended)
    return await record_of(backend, run)


@asynccontextmanager
async def away(config: Config) -> AsyncIterator[tuple[Config, str, str]]:
    """Services that have a run and are away: how to start them again, their address, and the run."""
    async with serve(config) as backend:
        run, address = await make_run(backend.channel), backend.address
    port = int(address.rpartition(":")[2])
    yield replace(config, server=replace(config.server, port=port)), address, run


@pytest.mark.parametrize(("end", "status"), [("complete", "COMPLETED"), ("fail", "FAILED")])
async def test_a_run_that_ends_while_the_services_are_away_ends_when_they_are_back(
    config: Config, spools: Spools, tmp_path: Path, end: str, status: str
) -> None:
    (tmp_path / "model").write_bytes(b"trained")
    async with away(config) as (again, address, run):
        script = local_run(address, run, tmp_path)
        await asyncio.to_thread(getattr(script, end))
        left = datetime.now(UTC)
        async with serve(again) as backend:
            record = await has_ended(backend, run)
            await spools.carried()

            assert run_pb2.RunStatus.Name(record.status) == f"RUN_STATUS_{status}"
            assert record.end_time.ToDatetime(UTC) < left
            assert await files_of(backend, run) == ["outputs/model"]


async def test_a_run_that_somebody_ended_meanwhile_stays_as_it_is_and_lost_outputs_are_told(
    config: Config, spools: Spools, tmp_path: Path
) -> None:
    async with away(config) as (again, address, run), serve(again) as backend:
        await stubs.run_history(backend.channel).CancelRun(CancelRunRequest(name=run))
        request = CompleteRunRequest(name=run).SerializeToString()
        end = EndOfRun("CompleteRun", time.time_ns() // 1000, request, [("outputs/model", str(tmp_path / "gone"))])
        spools.open(run, address).end_run(end)
        await spools.carried()

        assert (await record_of(backend, run)).status == run_pb2.RUN_STATUS_CANCELED
        (warning,) = await warnings(backend.channel, run)
        assert "The outputs were not uploaded" in warning
