"""Submits runs, and speaks for their runners."""

import uuid
from dataclasses import dataclass
from typing import Any

import grpc

from runstream.api.jobs.v1 import job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as messages
from runstream.api.runs.v1 import experiment_pb2, run_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from tests import stubs
from tests.make_runs import WORKSPACE, make_workspace

LOCAL = f"{WORKSPACE}/computeTargets/local"
SCRIPT = job_pb2.JobDefinition(script="train.py")

S = run_pb2.RunStatus


@dataclass(frozen=True)
class Submitter:
    """Submits runs of one experiment."""

    channel: grpc.aio.Channel
    experiment: str

    @property
    def stub(self) -> Any:
        return stubs.jobs(self.channel)

    def request(self, definition: job_pb2.JobDefinition = SCRIPT, **of_request: Any) -> messages.SubmitRunRequest:
        """A request to submit a run."""
        run = of_request.pop("run", run_pb2.Run(experiment=self.experiment))
        return messages.SubmitRunRequest(
            **{"parent": WORKSPACE, "request_id": str(uuid.uuid4()), "compute_target": LOCAL} | of_request,
            run=run,
            definition=definition,
        )

    async def submit(self, definition: job_pb2.JobDefinition = SCRIPT, **of_request: Any) -> messages.SubmitRunResponse:
        """Submits a run."""
        return await self.stub.SubmitRun(self.request(definition, **of_request))  # type: ignore[no-any-return]

    async def claim(self, run: str, holder: str = "runner", lease: int = 0) -> messages.ClaimJobResponse:
        """Claims a job."""
        request = messages.ClaimJobRequest(run=run, holder=holder, lease=lease)
        return await self.stub.ClaimJob(request)  # type: ignore[no-any-return]

    async def report(self, run: str, lease: int, status: Any, **of_report: Any) -> run_pb2.Run:
        """Reports the status of a run."""
        request = messages.ReportJobRequest(run=run, lease=lease, status=status, **of_report)
        return (await self.stub.ReportJob(request)).run  # type: ignore[no-any-return]

    async def job(self, run: str) -> job_pb2.Job:
        """The job of a run."""
        return (await self.stub.GetJob(messages.GetJobRequest(run=run))).job  # type: ignore[no-any-return]

    async def run(self, name: str) -> run_pb2.Run:
        """A run, with its history."""
        return (await stubs.run_history(self.channel).GetRun(runs.GetRunRequest(name=name))).run

    async def cancel(self, name: str) -> run_pb2.Run:
        """Asks for a run to be cancelled."""
        return (await stubs.run_history(self.channel).CancelRun(runs.CancelRunRequest(name=name))).run


async def make_submitter(channel: grpc.aio.Channel) -> Submitter:
    """Makes the workspace and an experiment to submit to."""
    workspace = await make_workspace(channel)
    made = await stubs.run_history(channel).CreateExperiment(
        runs.CreateExperimentRequest(
            parent=workspace, experiment=experiment_pb2.Experiment(display_name="submitted"), return_existing=True
        )
    )
    return Submitter(channel, made.experiment.name)
