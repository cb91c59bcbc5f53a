"""Logs of runs that ended long enough ago go, if their workspace says so, and nothing else does."""

from collections.abc import Sequence
from dataclasses import replace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.logs.v1 import log_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as history
from runstream.api.runs.v1.workspace_pb2 import Workspace
from runstream_server.config import Config, MaintenanceConfig
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests import stubs
from tests.append_clients import failure_of_stream, log_stream
from tests.conftest import Backend
from tests.log_files import PATH, end_run, holds, logs_sealed, read_log, search, write_log
from tests.make_runs import make_run

HOUR = 3_600


@pytest.fixture
def config(config: Config) -> Config:
    """Settings of servers that seal and clear away at once."""
    return replace(config, maintenance=MaintenanceConfig(share=1.0, seal_quiet_seconds=0.0, seal_grace_seconds=0.0))


async def keep_for(backend: Backend, seconds: int | None) -> None:
    workspace = Workspace(name="workspaces/space", log_retention=None if seconds is None else Duration(seconds=seconds))
    mask = FieldMask(paths=["log_retention"])
    await stubs.run_history(backend.channel).UpdateWorkspace(
        history.UpdateWorkspaceRequest(workspace=workspace, update_mask=mask)
    )


async def kept_for(backend: Backend) -> int | None:
    request = history.GetWorkspaceRequest(name="workspaces/space")
    workspace = (await stubs.run_history(backend.channel).GetWorkspace(request)).workspace
    return workspace.log_retention.seconds if workspace.HasField("log_retention") else None


async def pass_time(postgres: Postgres, runs: Sequence[str]) -> None:
    """Makes runs, and what was stored of them, two hours older."""
    names = [run.split("/")[-1] for run in runs]
    for statement in (
        "UPDATE logs.file SET update_time = update_time - interval '2 hours' WHERE run = ANY($1)",
        "UPDATE runs.run SET end_time = end_time - interval '2 hours' WHERE run = ANY($1)",
    ):
        await postgres.execute(statement, names)


async def looked_after(postgres: Postgres) -> None:
    """Waits until a round over all files has ended, and what it removed is gone."""
    await postgres.execute("UPDATE logs.round SET due_time = '-infinity', after_run = '' WHERE round = 'retention'")
    waiting = """
        SELECT EXISTS (SELECT FROM logs.round
                        WHERE round = 'retention' AND (due_time < now() + interval '10 minutes' OR after_run <> ''))
            OR EXISTS (SELECT FROM logs.seal_task) OR EXISTS (SELECT FROM logs.segment WHERE state <> 'current')
    """
    await holds(postgres, f"NOT ({waiting})")


async def failure(backend: Backend, run: str) -> tuple[grpc.StatusCode, str]:
    request = messages.ReadLogRequest(run=run, path=PATH)
    failed = await failure_of_stream(stubs.logs(backend.channel).ReadLog(request))
    return failed.code, failed.reason


async def test_old_logs_go_with_all_their_bytes_and_others_stay(
    backend: Backend, postgres: Postgres, bucket: Bucket
) -> None:
    old, fresh, running = [await make_run(backend.channel, name) for name in ("old", "fresh", "running")]
    for run in (old, fresh, running):
        await write_log(backend, run, b"text of " + run.encode(), finish=True)
    await end_run(backend, old)
    await end_run(backend, fresh)
    await pass_time(postgres, [old, running])
    await looked_after(postgres)
    assert await read_log(backend, old) == b"text of " + old.encode()

    await keep_for(backend, HOUR)
    await looked_after(postgres)

    expired = (grpc.StatusCode.FAILED_PRECONDITION, "LOG_EXPIRED")
    assert await failure(backend, old) == expired
    assert (await stubs.logs(backend.channel).ListLogs(messages.ListLogsRequest(parent=old))).logs == []
    assert [match.run for answer in await search(backend, literal=b"text") for match in answer.matches] == [
        running,
        fresh,
    ]
    tailing = stubs.logs(backend.channel).TailLog(messages.TailLogRequest(run=old, path=PATH))
    assert (await failure_of_stream(tailing)).reason == "LOG_EXPIRED"
    assert await read_log(backend, fresh) == b"text of " + fresh.encode()
    assert await read_log(backend, running) == b"text of " + running.encode()
    assert not [each.key async for each in bucket.list("logs/space/old/")]
    assert not await postgres.fetchval("SELECT count(*) FROM logs.chunk WHERE run = 'old'")


async def test_text_that_was_not_sealed_goes_too_and_nothing_can_follow_it(
    backend: Backend, postgres: Postgres, run: str
) -> None:
    async with log_stream(backend.channel, run) as stream:
        await stream.send(0, b"text")
        await stream.acknowledged(4)
        await end_run(backend, run)
        await pass_time(postgres, [run])
        await keep_for(backend, HOUR)
        await looked_after(postgres)
        await stream.send(4, b"more")
        assert (await stream.end()).reason == "LOG_EXPIRED"

    assert await failure(backend, run) == (grpc.StatusCode.FAILED_PRECONDITION, "LOG_EXPIRED")
    assert not await postgres.fetchval("SELECT count(*) FROM logs.chunk")


async def test_a_retention_can_be_taken_back(backend: Backend, postgres: Postgres, run: str) -> None:
    await write_log(backend, run, b"text", finish=True)
    await end_run(backend, run)
    await logs_sealed(postgres)
    await pass_time(postgres, [run])
    await keep_for(backend, 10_000)
    assert await kept_for(backend) == 10_000
    await keep_for(backend, None)
    assert await kept_for(backend) is None
    await looked_after(postgres)

    assert await read_log(backend, run) == b"text"


@pytest.mark.parametrize("retention", [Duration(seconds=HOUR - 1), Duration(seconds=HOUR, nanos=1_000), Duration()])
async def test_a_retention_that_cannot_be_is_refused(backend: Backend, retention: Duration) -> None:
    workspace = Workspace(log_retention=retention)
    request = history.CreateWorkspaceRequest(workspace_id="other", workspace=workspace)
    with pytest.raises(grpc.aio.AioRpcError) as failure:
        await stubs.run_history(backend.channel).CreateWorkspace(request)

    assert failure.value.code() is grpc.StatusCode.INVALID_ARGUMENT
