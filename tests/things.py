"""Two workspaces with the same things in them, and callers of all kinds."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import grpc

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import compute_target_pb2, environment_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as jobs
from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server.auth import Role
from tests import stubs
from tests.guarded import Guarded
from tests.make_runs import make_workspace
from tests.rpc_rows import Things

NOWHERE = Things(
    workspace="workspaces/nowhere",
    run="workspaces/nowhere/runs/run",
    experiment=f"workspaces/nowhere/experiments/{uuid.UUID(int=7)}",
    snapshot=f"workspaces/nowhere/snapshots/{'0' * 64}",
    token=f"workspaces/nowhere/tokens/{'0' * 32}",
)
"""Names of things that do not exist."""


@dataclass(frozen=True)
class World:
    """What there is, and who calls."""

    ours: Things
    theirs: Things

    callers: Mapping[str, grpc.aio.Channel]
    """By who they are."""


async def make_world(guarded: Guarded) -> World:
    """Makes it."""
    ours, theirs = await make_things(guarded, "space"), await make_things(guarded, "theirs")
    return World(ours, theirs, {**await _callers(guarded), **await _callers_of_runs(guarded)})


async def make_things(guarded: Guarded, workspace_id: str) -> Things:
    """Makes the things of a workspace: runs `top`, `run` below it, `below` below that, `other` and `deleted`."""
    workspace = await make_workspace(guarded.channel, workspace_id)
    history, stub = stubs.run_history(guarded.channel), stubs.artifacts(guarded.channel)
    experiment = (
        await history.CreateExperiment(
            runs.CreateExperimentRequest(parent=workspace, experiment=experiment_pb2.Experiment(display_name="all"))
        )
    ).experiment.name
    entries = [artifacts.SnapshotEntry(path=workspace_id, folder=True)]
    made = await stub.CreateSnapshot(artifacts.CreateSnapshotRequest(parent=workspace, entries=entries))
    token, _ = await guarded.token(Role.READER, workspace_id)
    things = Things(workspace, f"{workspace}/runs/run", experiment, made.snapshot.name, str(token.name))
    await _make_runs(guarded.channel, things)
    await _make_compute(guarded.channel, things)
    return things


async def _make_runs(channel: grpc.aio.Channel, things: Things) -> None:
    history = stubs.run_history(channel)

    async def make(run_id: str, **of_run: Any) -> None:
        run = run_pb2.Run(experiment=things.experiment, **of_run)
        await history.CreateRun(runs.CreateRunRequest(parent=things.workspace, run=run, run_id=run_id, start=True))

    for run_id in ("top", "other", "deleted"):
        await make(run_id)
    await stubs.jobs(channel).SubmitRun(
        jobs.SubmitRunRequest(
            parent=things.workspace,
            run=run_pb2.Run(experiment=things.experiment, parent=f"{things.workspace}/runs/top"),
            run_id="run",
            compute_target=things.target,
            definition=job_pb2.JobDefinition(script="train.py", snapshot=things.snapshot),
            request_id=str(uuid.uuid4()),
        )
    )
    properties = {"ContentSnapshotId": things.snapshot.rpartition("/")[2]}
    await history.AddProperties(runs.AddPropertiesRequest(name=things.run, properties=properties))
    await make("below", parent=things.run)
    await history.DeleteRuns(
        runs.DeleteRunsRequest(parent=things.workspace, names=[f"{things.workspace}/runs/deleted"])
    )


async def _make_compute(channel: grpc.aio.Channel, things: Things) -> None:
    stub = stubs.jobs(channel)
    target = jobs.ComputeTarget(kind=jobs.COMPUTE_TARGET_KIND_AGENT_POOL, agent_pool=compute_target_pb2.AgentPool())
    await stub.CreateComputeTarget(
        jobs.CreateComputeTargetRequest(parent=things.workspace, compute_target=target, compute_target_id="pool")
    )
    await stub.RegisterEnvironment(
        jobs.RegisterEnvironmentRequest(
            parent=things.workspace,
            environment_id="environment",
            definition=environment_pb2.EnvironmentDefinition(display_name="environment"),
        )
    )


async def _callers(guarded: Guarded) -> dict[str, grpc.aio.Channel]:
    revoked, secret = await guarded.token(Role.ADMIN)
    await guarded.tokens.revoke(revoked.name)
    roles = {str(role): await guarded.calling(role) for role in (Role.READER, Role.WRITER, Role.ADMIN, Role.OPERATOR)}
    return {
        "nobody": await guarded.showing(""),
        "unknown": await guarded.showing("rst_" + "u" * 43),
        "expired": await guarded.showing(await guarded.expired(Role.ADMIN)),
        "revoked": await guarded.showing(secret),
        "of another workspace": await guarded.calling(Role.ADMIN, "theirs"),
        **roles,
    }


async def _callers_of_runs(guarded: Guarded) -> dict[str, grpc.aio.Channel]:
    of_runs = {"of the run": "run", "of the run above": "top", "of a run below": "below", "of another run": "other"}
    made = {who: await guarded.calling(Role.RUN, run=run) for who, run in of_runs.items()}
    elsewhere = await guarded.calling(Role.RUN, "theirs", run="run")
    return {**made, "of a deleted run": await guarded.calling(Role.RUN, run="deleted"), "of a run elsewhere": elsewhere}
