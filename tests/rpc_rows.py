"""Each rpc, with a request about given things, and who may make it."""

import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import agent_pb2, compute_target_pb2, environment_pb2, job_pb2
from runstream.api.jobs.v1 import job_service_pb2 as jobs
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from runstream.api.runs.v1 import experiment_pb2, run_pb2, token_pb2, workspace_pb2
from runstream.api.runs.v1 import run_history_service_pb2 as runs
from runstream_server.auth import Role

WRONG = "#"
"""A text that no field takes: the service refuses the request once the caller was admitted, without waiting."""


@dataclass(frozen=True)
class Things:
    """Names of things of one workspace."""

    workspace: str
    run: str
    experiment: str
    snapshot: str
    token: str

    @property
    def workspace_id(self) -> str:
        return self.workspace.removeprefix("workspaces/")

    @property
    def target(self) -> str:
        return f"{self.workspace}/computeTargets/local"

    @property
    def pool(self) -> str:
        return f"{self.workspace}/computeTargets/pool"

    @property
    def environment(self) -> str:
        return f"{self.workspace}/environments/environment"


@dataclass(frozen=True)
class Row:
    """Who may call an rpc."""

    least: Role
    """The least role."""

    request: Callable[[Things], Any]
    """A request about things. It changes nothing that other requests need."""

    missing: str = ""
    """The reason of the error where the things do not exist; empty: it names nothing that exists."""

    of_run: bool = True
    """Whether it is open to tokens of runs."""

    names_run: bool = False
    """Whether it names a run, so that only tokens of this run and of those above it reach it."""

    of_run_request: Callable[[Things], Any] | None = None
    """The request of a token of a run, where that has to say more."""

    @property
    def missing_to_runs(self) -> str:
        """The reason of the error where a token of a run does not reach the run; empty: it names none."""
        if not self.names_run:
            return "RUN_NOT_FOUND" if self.of_run_request else ""
        return "RUN_NOT_FOUND" if self.missing == "WORKSPACE_NOT_FOUND" else self.missing


def _of_run(least: Role, request: Callable[[Things], Any], missing: str = "RUN_NOT_FOUND") -> Row:
    return Row(least, request, missing, names_run=True)


def _of_workspace(least: Role, request: Callable[[Things], Any], *, of_run: bool = True) -> Row:
    return Row(least, request, "WORKSPACE_NOT_FOUND", of_run=of_run)


R, W, A = Role.READER, Role.WRITER, Role.ADMIN
_MASK = FieldMask(paths=["description"])
_BELOW = 'parent = "run"'

RUN_HISTORY: Mapping[str, Row] = {
    "CreateWorkspace": Row(
        A, lambda t: runs.CreateWorkspaceRequest(workspace_id=t.workspace_id), "ROLE_TOO_SMALL", of_run=False
    ),
    "GetWorkspace": _of_workspace(R, lambda t: runs.GetWorkspaceRequest(name=t.workspace)),
    "ListWorkspaces": Row(R, lambda t: runs.ListWorkspacesRequest()),
    "UpdateWorkspace": _of_workspace(
        A,
        lambda t: runs.UpdateWorkspaceRequest(workspace=workspace_pb2.Workspace(name=t.workspace), update_mask=_MASK),
        of_run=False,
    ),
    "DeleteWorkspace": _of_workspace(A, lambda t: runs.DeleteWorkspaceRequest(name=t.workspace), of_run=False),
    "CreateExperiment": _of_workspace(W, lambda t: runs.CreateExperimentRequest(parent=t.workspace), of_run=False),
    "GetExperiment": Row(R, lambda t: runs.GetExperimentRequest(name=t.experiment), "EXPERIMENT_NOT_FOUND"),
    "ListExperiments": _of_workspace(R, lambda t: runs.ListExperimentsRequest(parent=t.workspace), of_run=False),
    "UpdateExperiment": Row(
        W,
        lambda t: runs.UpdateExperimentRequest(
            experiment=experiment_pb2.Experiment(name=t.experiment), update_mask=_MASK
        ),
        "EXPERIMENT_NOT_FOUND",
        of_run=False,
    ),
    "ArchiveExperiment": Row(
        W, lambda t: runs.ArchiveExperimentRequest(name=t.experiment), "EXPERIMENT_NOT_FOUND", of_run=False
    ),
    "ReactivateExperiment": Row(
        W, lambda t: runs.ReactivateExperimentRequest(name=t.experiment), "EXPERIMENT_NOT_FOUND", of_run=False
    ),
    "DeleteExperiment": Row(
        W, lambda t: runs.DeleteExperimentRequest(name=t.experiment), "EXPERIMENT_NOT_FOUND", of_run=False
    ),
    "CreateRun": Row(
        W,
        lambda t: runs.CreateRunRequest(parent=t.workspace, run=run_pb2.Run(experiment=t.experiment)),
        "WORKSPACE_NOT_FOUND",
        of_run_request=lambda t: runs.CreateRunRequest(parent=t.workspace, run=run_pb2.Run(parent=t.run)),
    ),
    "BatchCreateRuns": Row(
        W,
        lambda t: runs.BatchCreateRunsRequest(
            parent=t.workspace, requests=[runs.CreateRunRequest(run=run_pb2.Run(experiment=t.experiment))]
        ),
        "WORKSPACE_NOT_FOUND",
        of_run_request=lambda t: runs.BatchCreateRunsRequest(
            parent=t.workspace, requests=[runs.CreateRunRequest(run=run_pb2.Run(parent=t.run))]
        ),
    ),
    "GetRun": _of_run(R, lambda t: runs.GetRunRequest(name=t.run)),
    "BatchGetRuns": Row(
        R, lambda t: runs.BatchGetRunsRequest(parent=t.workspace, names=[t.run]), "WORKSPACE_NOT_FOUND", names_run=True
    ),
    "ListRuns": _of_workspace(R, lambda t: runs.ListRunsRequest(parent=t.workspace, filter=_BELOW)),
    "UpdateRun": _of_run(W, lambda t: runs.UpdateRunRequest(run=run_pb2.Run(name=t.run), update_mask=_MASK)),
    "ModifyTags": _of_run(W, lambda t: runs.ModifyTagsRequest(name=t.run)),
    "AddProperties": _of_run(W, lambda t: runs.AddPropertiesRequest(name=t.run)),
    "AddWarnings": _of_run(W, lambda t: runs.AddWarningsRequest(name=t.run)),
    "StartRun": _of_run(W, lambda t: runs.StartRunRequest(name=t.run)),
    "CompleteRun": _of_run(W, lambda t: runs.CompleteRunRequest(name=t.run)),
    "FailRun": _of_run(W, lambda t: runs.FailRunRequest(name=t.run)),
    "CancelRun": _of_run(W, lambda t: runs.CancelRunRequest(name=t.run)),
    "Heartbeat": _of_run(W, lambda t: runs.HeartbeatRequest(name=t.run)),
    "WatchRuns": Row(
        R,
        lambda t: runs.WatchRunsRequest(parent=t.workspace, names=[t.run], resume_token=WRONG),
        "WORKSPACE_NOT_FOUND",
        names_run=True,
    ),
    "DeleteRuns": _of_workspace(W, lambda t: runs.DeleteRunsRequest(parent=t.workspace), of_run=False),
    "RestoreRuns": _of_workspace(W, lambda t: runs.RestoreRunsRequest(parent=t.workspace), of_run=False),
    "RecordMetricSummaries": Row(
        Role.SERVICE,
        lambda t: runs.RecordMetricSummariesRequest(runs=[runs.RunMetricSummaries(run=t.run)]),
        of_run=False,
    ),
    "CreateToken": _of_workspace(
        W,
        lambda t: runs.CreateTokenRequest(
            parent=t.workspace, token=token_pb2.Token(role=token_pb2.TOKEN_ROLE_RUN, run=t.run)
        ),
        of_run=False,
    ),
    "ListTokens": _of_workspace(A, lambda t: runs.ListTokensRequest(parent=t.workspace), of_run=False),
    "GetOwnToken": Row(R, lambda t: runs.GetOwnTokenRequest()),
    "RevokeToken": Row(A, lambda t: runs.RevokeTokenRequest(name=t.token), "TOKEN_NOT_FOUND", of_run=False),
}

METRICS: Mapping[str, Row] = {
    "WriteMetrics": _of_run(W, lambda t: metrics.WriteMetricsRequest(open=metrics.OpenMetrics(run=t.run))),
    "LogMetrics": _of_run(W, lambda t: metrics.LogMetricsRequest(run=t.run)),
    "ListSeries": _of_run(R, lambda t: metrics.ListSeriesRequest(parent=t.run)),
    "GetRefusals": _of_run(R, lambda t: metrics.GetRefusalsRequest(run=t.run)),
    "ReadSeries": _of_run(R, lambda t: metrics.ReadSeriesRequest(runs=[t.run], metrics=["loss"])),
    "ReadLatestValues": _of_run(R, lambda t: metrics.ReadLatestValuesRequest(runs=[t.run], metrics=["loss"])),
    "CompareSeries": _of_run(R, lambda t: metrics.CompareSeriesRequest(runs=[t.run], metrics=["loss"], max_points=9)),
    "TailSeries": _of_run(
        R, lambda t: metrics.TailSeriesRequest(runs=[t.run], cursor=[metrics.SeriesPosition(run=t.run, next_index=-1)])
    ),
}

LOGS: Mapping[str, Row] = {
    "WriteLog": _of_run(W, lambda t: logs.WriteLogRequest(open=logs.OpenLog(run=t.run))),
    "ListLogs": _of_run(R, lambda t: logs.ListLogsRequest(parent=t.run)),
    "ReadLog": _of_run(R, lambda t: logs.ReadLogRequest(run=t.run, path="user_logs/none.txt")),
    "SearchLogs": Row(
        R, lambda t: logs.SearchLogsRequest(parent=t.workspace, runs=[t.run]), "WORKSPACE_NOT_FOUND", names_run=True
    ),
    "TailLog": _of_run(R, lambda t: logs.TailLogRequest(run=t.run, path="user_logs/none.txt", cursor=WRONG)),
}

_UPLOAD = uuid.UUID(int=1).hex

ARTIFACTS: Mapping[str, Row] = {
    "FindMissingBlobs": _of_workspace(W, lambda t: artifacts.FindMissingBlobsRequest(parent=t.workspace)),
    "BatchUploadBlobs": _of_workspace(W, lambda t: artifacts.BatchUploadBlobsRequest(parent=t.workspace)),
    "BeginUpload": _of_workspace(W, lambda t: artifacts.BeginUploadRequest(parent=t.workspace)),
    "GetUploadUrls": _of_workspace(W, lambda t: artifacts.GetUploadUrlsRequest(parent=t.workspace, upload_id=_UPLOAD)),
    "QueryUpload": _of_workspace(W, lambda t: artifacts.QueryUploadRequest(parent=t.workspace, upload_id=_UPLOAD)),
    "UploadBlob": _of_workspace(
        W,
        lambda t: artifacts.UploadBlobRequest(start=artifacts.UploadBlobStart(parent=t.workspace, upload_id=_UPLOAD)),
    ),
    "CompleteUpload": _of_workspace(
        W, lambda t: artifacts.CompleteUploadRequest(parent=t.workspace, upload_id=_UPLOAD)
    ),
    "AbortUpload": _of_workspace(W, lambda t: artifacts.AbortUploadRequest(parent=t.workspace, upload_id=_UPLOAD)),
    "BindArtifacts": _of_run(W, lambda t: artifacts.BindArtifactsRequest(run=t.run)),
    "ListArtifacts": _of_run(R, lambda t: artifacts.ListArtifactsRequest(parent=t.run)),
    "GetDownloadUrls": _of_run(R, lambda t: artifacts.GetDownloadUrlsRequest(run=t.run, paths=["outputs/file"])),
    "ReadArtifact": _of_run(R, lambda t: artifacts.ReadArtifactRequest(run=t.run, path="outputs/none")),
    "BatchReadArtifacts": _of_run(R, lambda t: artifacts.BatchReadArtifactsRequest(run=t.run, paths=["outputs/none"])),
    "DeleteArtifacts": _of_run(W, lambda t: artifacts.DeleteArtifactsRequest(run=t.run, paths=["outputs/none"])),
    "CreateSnapshot": _of_workspace(W, lambda t: artifacts.CreateSnapshotRequest(parent=t.workspace)),
    "GetSnapshot": Row(
        R, lambda t: artifacts.GetSnapshotRequest(name=t.snapshot), "SNAPSHOT_NOT_FOUND", names_run=True
    ),
    "ListSnapshotEntries": Row(
        R, lambda t: artifacts.ListSnapshotEntriesRequest(parent=t.snapshot), "SNAPSHOT_NOT_FOUND", names_run=True
    ),
    "ReadSnapshot": Row(
        R, lambda t: artifacts.ReadSnapshotRequest(name=t.snapshot), "SNAPSHOT_NOT_FOUND", names_run=True
    ),
}

_POOL = jobs.ComputeTarget(kind=jobs.COMPUTE_TARGET_KIND_AGENT_POOL, agent_pool=compute_target_pb2.AgentPool())
_NO_TARGET = "COMPUTE_TARGET_NOT_FOUND"

JOBS: Mapping[str, Row] = {
    "SubmitRun": Row(
        W,
        lambda t: submission(t, experiment=t.experiment),
        "WORKSPACE_NOT_FOUND",
        of_run_request=lambda t: submission(t, parent=t.run),
    ),
    "GetJob": _of_run(R, lambda t: jobs.GetJobRequest(run=t.run), "JOB_NOT_FOUND"),
    "ClaimJob": _of_run(W, lambda t: jobs.ClaimJobRequest(run=t.run), "JOB_NOT_FOUND"),
    "RenewLease": _of_run(W, lambda t: jobs.RenewLeaseRequest(run=t.run, lease=99), "JOB_NOT_FOUND"),
    "RefreshRunToken": _of_run(W, lambda t: jobs.RefreshRunTokenRequest(run=t.run), "JOB_NOT_FOUND"),
    "ReportJob": _of_run(W, lambda t: jobs.ReportJobRequest(run=t.run, lease=99), "JOB_NOT_FOUND"),
    "ConnectAgent": Row(
        W,
        lambda t: agent_pb2.ConnectAgentRequest(
            hello=agent_pb2.AgentHello(agent=agent_pb2.Agent(name=f"{t.pool}/agents/agent", slots=-1))
        ),
        _NO_TARGET,
        of_run=False,
    ),
    "ListAgents": Row(R, lambda t: jobs.ListAgentsRequest(parent=t.pool), _NO_TARGET, of_run=False),
    "CreateComputeTarget": _of_workspace(
        A, lambda t: jobs.CreateComputeTargetRequest(parent=t.workspace, compute_target=_POOL), of_run=False
    ),
    "UpdateComputeTarget": Row(
        A,
        lambda t: jobs.UpdateComputeTargetRequest(compute_target=jobs.ComputeTarget(name=t.target), update_mask=_MASK),
        _NO_TARGET,
        of_run=False,
    ),
    "DeleteComputeTarget": Row(A, lambda t: jobs.DeleteComputeTargetRequest(name=t.target), _NO_TARGET, of_run=False),
    "RegisterEnvironment": _of_workspace(
        W,
        lambda t: jobs.RegisterEnvironmentRequest(
            parent=t.workspace, environment_id="environment", definition=environment_pb2.EnvironmentDefinition()
        ),
    ),
    "GetEnvironment": Row(R, lambda t: jobs.GetEnvironmentRequest(name=t.environment), "ENVIRONMENT_NOT_FOUND"),
    "ListEnvironments": _of_workspace(R, lambda t: jobs.ListEnvironmentsRequest(parent=t.workspace)),
    "GetComputeTarget": Row(R, lambda t: jobs.GetComputeTargetRequest(name=t.target), _NO_TARGET),
    "ListComputeTargets": _of_workspace(R, lambda t: jobs.ListComputeTargetsRequest(parent=t.workspace)),
}

ROWS: Mapping[str, Mapping[str, Row]] = {
    "runstream.api.runs.v1.RunHistoryService": RUN_HISTORY,
    "runstream.api.metrics.v1.MetricsService": METRICS,
    "runstream.api.logs.v1.LogService": LOGS,
    "runstream.api.artifacts.v1.ArtifactService": ARTIFACTS,
    "runstream.api.jobs.v1.JobService": JOBS,
}
"""By service and method."""


def submission(things: Things, **of_run: Any) -> jobs.SubmitRunRequest:
    """A request to submit a run."""
    return jobs.SubmitRunRequest(
        parent=things.workspace,
        run=run_pb2.Run(**of_run),
        compute_target=things.target,
        definition=job_pb2.JobDefinition(script="train.py"),
        request_id=str(uuid.uuid4()),
    )
