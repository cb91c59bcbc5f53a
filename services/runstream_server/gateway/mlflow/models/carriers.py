"""Runs that have the files of logged models: the one that logged a model, else one that is there for it alone."""

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.experiments.known import KnownExperiment
from runstream_server.gateway.visitors import Visitor

RUN_TYPE = "mlflow.model"
"""Of runs that are there for a model alone."""


async def make_model_run(visitor: Visitor, experiment: KnownExperiment, model_id: str, name: str) -> run_pb2.Run:
    """Makes a run for the files of a model, which is hidden and has ended.

    It is below the run of the visitor, where its token is one of a run: nothing else would be in its reach.
    """
    above = visitor.own_run
    run = run_pb2.Run(
        experiment=str(experiment.numbered.experiment),
        parent=str(above or ""),
        display_name=name[:256],
        run_type=RUN_TYPE,
        hidden=True,
    )
    request = messages.CreateRunRequest(parent=str(visitor.workspace), run=run, run_id=model_id, start=True)
    made = await visitor.call(visitor.services.runs.CreateRun, request, messages.CreateRunResponse)
    end = messages.CompleteRunRequest(name=made.run.name)
    return (await visitor.call(visitor.services.runs.CompleteRun, end, messages.CompleteRunResponse)).run
