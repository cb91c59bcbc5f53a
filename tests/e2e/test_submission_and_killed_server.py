"""A server is killed while runs are submitted: each request makes one run, and none is left half submitted."""

import asyncio
from dataclasses import replace

import grpc

from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server.config import Config, JobsConfig
from runstream_server.postgres import Postgres
from runstream_server.rpc import open_channel
from tests import stubs
from tests.conditions import until_answered
from tests.connected_agents import POOL, make_pool
from tests.make_runs import WORKSPACE
from tests.server_process import ServerProcess
from tests.submitted import S, make_submitter

_REPEATED = 40
_GIVEN_UP = 20
_KILLED_AFTER = 15


async def test_a_killed_server_leaves_no_run_half_submitted(config: Config, postgres: Postgres) -> None:
    server = ServerProcess(replace(config, jobs=JobsConfig(lease_seconds=0.6)))
    async with server.running():
        async with open_channel(server.address) as channel:
            submitter = await make_submitter(channel)
            await make_pool(channel)
            requests = [submitter.request(compute_target=POOL) for _ in range(_REPEATED + _GIVEN_UP)]
            acknowledged = await _submit_until_killed(server, channel, requests)
        await server.start()
        async with open_channel(server.address) as channel:
            stub = stubs.jobs(channel)
            again = [(await stub.SubmitRun(request)).run.name for request in requests[:_REPEATED]]
            await until_answered(lambda: _all_are_settled(postgres))
            listed = await stubs.run_history(channel).ListRuns(
                runs.ListRunsRequest(parent=WORKSPACE, page_size=_REPEATED + _GIVEN_UP)
            )
            queued = await postgres.fetch("SELECT run FROM jobs.job WHERE state = 'queued'")

    names = {request.request_id: name for request, name in zip(requests, again, strict=False)}
    assert all(names.get(request_id, name) == name for request_id, name in acknowledged.items())
    assert len(set(again)) == _REPEATED
    assert {run.status for run in listed.runs} == {S.RUN_STATUS_QUEUED}
    assert {run.name for run in listed.runs} == {f"{WORKSPACE}/runs/{row['run']}" for row in queued}
    assert {*again, *acknowledged.values()} <= {run.name for run in listed.runs}


async def _submit_until_killed(
    server: ServerProcess, channel: grpc.aio.Channel, requests: list[messages.SubmitRunRequest]
) -> dict[str, str]:
    """Submits all at once and kills the server when some are acknowledged; returns these, by request id."""
    names: dict[str, str] = {}
    enough = asyncio.Event()

    async def submit(request: messages.SubmitRunRequest) -> None:
        try:
            names[request.request_id] = (await stubs.jobs(channel).SubmitRun(request)).run.name
        except grpc.aio.AioRpcError:
            return
        if len(names) >= _KILLED_AFTER:
            enough.set()

    async with asyncio.TaskGroup() as tasks:
        for request in requests:
            tasks.create_task(submit(request))
        await enough.wait()
        await server.kill()
    return names


async def _all_are_settled(postgres: Postgres) -> bool:
    return not await postgres.fetchval("SELECT count(*) FROM jobs.job WHERE state <> 'queued'")
