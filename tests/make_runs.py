"""Makes runs to write to."""

import grpc

from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as messages
from tests import stubs

WORKSPACE = "workspaces/space"


async def make_workspace(channel: grpc.aio.Channel, workspace_id: str = "space") -> str:
    """Makes a workspace, if it is not there yet; returns its name."""
    request = messages.CreateWorkspaceRequest(workspace_id=workspace_id, return_existing=True)
    return (await stubs.run_history(channel).CreateWorkspace(request)).workspace.name


async def make_run(channel: grpc.aio.Channel, run_id: str = "run") -> str:
    """Makes a running run; returns its name."""
    workspace = await make_workspace(channel)
    stub = stubs.run_history(channel)
    experiment = await stub.CreateExperiment(
        messages.CreateExperimentRequest(
            parent=workspace, experiment=experiment_pb2.Experiment(display_name="experiment"), return_existing=True
        )
    )
    created = await stub.CreateRun(
        messages.CreateRunRequest(
            parent=workspace, run=run_pb2.Run(experiment=experiment.experiment.name), run_id=run_id, start=True
        )
    )
    return str(created.run.name)
