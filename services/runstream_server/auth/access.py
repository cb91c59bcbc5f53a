"""Which method needs which role, and where its requests say what they are about. What is not here is refused."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from runstream_server.auth.model import Role
from runstream_server.auth.naming import Kind, Named


class OfRun(Enum):
    """How a method is open to tokens of runs."""

    REFUSED = auto()
    """Not at all."""

    REACHED = auto()
    """For what is in reach of the run."""

    BELOW = auto()
    """For what is below the run: the filter of the request is confined to that, unless runs are named."""


@dataclass(frozen=True, slots=True)
class Access:
    """What a method needs."""

    role: Role | None
    """The least role; None: not even a token."""

    named: Sequence[Named] = ()
    of_run: OfRun = OfRun.REFUSED


_RUNS = "/runstream.api.runs.v1.RunHistoryService/"
_METRICS = "/runstream.api.metrics.v1.MetricsService/"
_LOGS = "/runstream.api.logs.v1.LogService/"
_ARTIFACTS = "/runstream.api.artifacts.v1.ArtifactService/"
_JOBS = "/runstream.api.jobs.v1.JobService/"

_PARENT = Named("parent", Kind.WORKSPACE)
_NAME = Named("name", Kind.RUN)
_NAMES = Named("names", Kind.RUN, optional=True, of_parent=True)
_RUN = Named("run", Kind.RUN)
_RUNS_NAMED = Named("runs", Kind.RUN, optional=True)
_EXPERIMENT = Named("name", Kind.EXPERIMENT)
_JOB = Named("run", Kind.JOB)
_TARGET = Named("name", Kind.COMPUTE_TARGET)


def _reader(*named: Named, of_run: OfRun = OfRun.REACHED) -> Access:
    return Access(Role.READER, named, of_run)


def _writer(*named: Named, of_run: OfRun = OfRun.REACHED) -> Access:
    return Access(Role.WRITER, named, of_run)


def _admin(*named: Named) -> Access:
    return Access(Role.ADMIN, named)


_RUN_HISTORY: Mapping[str, Access] = {
    "CreateWorkspace": _admin(Named("workspace_id", Kind.NEW_WORKSPACE)),
    "GetWorkspace": _reader(Named("name", Kind.WORKSPACE)),
    "ListWorkspaces": _reader(),
    "UpdateWorkspace": _admin(Named("workspace.name", Kind.WORKSPACE)),
    "DeleteWorkspace": _admin(Named("name", Kind.WORKSPACE)),
    "CreateExperiment": _writer(_PARENT, of_run=OfRun.REFUSED),
    "GetExperiment": _reader(_EXPERIMENT),
    "ListExperiments": _reader(_PARENT, of_run=OfRun.REFUSED),
    "UpdateExperiment": _writer(Named("experiment.name", Kind.EXPERIMENT), of_run=OfRun.REFUSED),
    "ArchiveExperiment": _writer(_EXPERIMENT, of_run=OfRun.REFUSED),
    "ReactivateExperiment": _writer(_EXPERIMENT, of_run=OfRun.REFUSED),
    "DeleteExperiment": _writer(_EXPERIMENT, of_run=OfRun.REFUSED),
    "CreateRun": _writer(
        _PARENT,
        Named("run.parent", Kind.ABOVE, optional=True, of_parent=True),
        Named("run.experiment", Kind.EXPERIMENT, optional=True, of_parent=True),
    ),
    "BatchCreateRuns": _writer(
        _PARENT,
        Named("requests.run.parent", Kind.ABOVE, optional=True, of_parent=True),
        Named("requests.run.experiment", Kind.EXPERIMENT, optional=True, of_parent=True),
    ),
    "GetRun": _reader(_NAME),
    "BatchGetRuns": _reader(_PARENT, _NAMES),
    "ListRuns": _reader(_PARENT, of_run=OfRun.BELOW),
    "UpdateRun": _writer(Named("run.name", Kind.RUN)),
    "ModifyTags": _writer(Named("name", Kind.RUN_OR_EXPERIMENT)),
    "AddProperties": _writer(_NAME),
    "AddWarnings": _writer(_NAME),
    "StartRun": _writer(_NAME),
    "CompleteRun": _writer(_NAME),
    "FailRun": _writer(_NAME),
    "CancelRun": _writer(_NAME),
    "Heartbeat": _writer(_NAME),
    "WatchRuns": _reader(_PARENT, _NAMES, of_run=OfRun.BELOW),
    "DeleteRuns": _writer(_PARENT, _NAMES, of_run=OfRun.REFUSED),
    "RestoreRuns": _writer(_PARENT, _NAMES, of_run=OfRun.REFUSED),
    "RecordMetricSummaries": Access(Role.SERVICE),
    "CreateToken": _writer(_PARENT, Named("token.run", Kind.RUN, optional=True), of_run=OfRun.REFUSED),
    "ListTokens": _admin(_PARENT),
    "GetOwnToken": _reader(),
    "RevokeToken": _admin(Named("name", Kind.TOKEN)),
}

_METRICS_METHODS: Mapping[str, Access] = {
    "WriteMetrics": _writer(Named("open.run", Kind.RUN)),
    "LogMetrics": _writer(_RUN),
    "ListSeries": _reader(Named("parent", Kind.RUN)),
    "GetRefusals": _reader(_RUN),
    "ReadSeries": _reader(_RUNS_NAMED),
    "ReadLatestValues": _reader(_RUNS_NAMED),
    "CompareSeries": _reader(_RUNS_NAMED),
    "TailSeries": _reader(_RUNS_NAMED, Named("cursor.run", Kind.RUN, optional=True)),
}

_LOGS_METHODS: Mapping[str, Access] = {
    "WriteLog": _writer(Named("open.run", Kind.RUN)),
    "ListLogs": _reader(Named("parent", Kind.RUN)),
    "ReadLog": _reader(_RUN),
    "SearchLogs": _reader(_PARENT, Named("runs", Kind.RUN, optional=True, of_parent=True), of_run=OfRun.BELOW),
    "TailLog": _reader(_RUN),
}

_ARTIFACTS_METHODS: Mapping[str, Access] = {
    "FindMissingBlobs": _writer(_PARENT),
    "BatchUploadBlobs": _writer(_PARENT),
    "BeginUpload": _writer(_PARENT),
    "GetUploadUrls": _writer(_PARENT),
    "QueryUpload": _writer(_PARENT),
    "UploadBlob": _writer(Named("start.parent", Kind.WORKSPACE)),
    "CompleteUpload": _writer(_PARENT),
    "AbortUpload": _writer(_PARENT),
    "BindArtifacts": _writer(_RUN),
    "ListArtifacts": _reader(Named("parent", Kind.RUN)),
    "GetDownloadUrls": _reader(_RUN),
    "ReadArtifact": _reader(_RUN),
    "BatchReadArtifacts": _reader(_RUN),
    "DeleteArtifacts": _writer(_RUN),
    "CreateSnapshot": _writer(_PARENT),
    "GetSnapshot": _reader(Named("name", Kind.SNAPSHOT)),
    "ListSnapshotEntries": _reader(Named("parent", Kind.SNAPSHOT)),
    "ReadSnapshot": _reader(Named("name", Kind.SNAPSHOT)),
}

_JOBS_METHODS: Mapping[str, Access] = {
    "SubmitRun": _writer(
        _PARENT,
        Named("run.parent", Kind.ABOVE, optional=True, of_parent=True),
        Named("run.experiment", Kind.EXPERIMENT, optional=True, of_parent=True),
    ),
    "GetJob": _reader(_JOB),
    "ClaimJob": _writer(_JOB),
    "RenewLease": _writer(_JOB),
    "RefreshRunToken": _writer(_JOB),
    "ReportJob": _writer(_JOB),
    "ConnectAgent": _writer(Named("hello.agent.name", Kind.AGENT), of_run=OfRun.REFUSED),
    "ListAgents": _reader(Named("parent", Kind.COMPUTE_TARGET), of_run=OfRun.REFUSED),
    "CreateComputeTarget": _admin(_PARENT),
    "UpdateComputeTarget": _admin(Named("compute_target.name", Kind.COMPUTE_TARGET)),
    "DeleteComputeTarget": _admin(_TARGET),
    "RegisterEnvironment": _writer(_PARENT),
    "GetEnvironment": _reader(Named("name", Kind.ENVIRONMENT)),
    "ListEnvironments": _reader(_PARENT),
    "GetComputeTarget": _reader(_TARGET),
    "ListComputeTargets": _reader(_PARENT),
}

_EVERYBODY: Mapping[str, Access] = {
    "/grpc.health.v1.Health/Check": Access(None),
    "/grpc.health.v1.Health/Watch": Access(None),
    "/grpc.health.v1.Health/List": Access(None),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": Access(None),
}
"""Probes have no token, and what reflection tells is in this repository."""

ACCESS: Mapping[str, Access] = {
    service + method: access
    for service, methods in (
        (_RUNS, _RUN_HISTORY),
        (_METRICS, _METRICS_METHODS),
        (_LOGS, _LOGS_METHODS),
        (_ARTIFACTS, _ARTIFACTS_METHODS),
        (_JOBS, _JOBS_METHODS),
        ("", _EVERYBODY),
    )
    for method, access in methods.items()
}
"""By full method, `/package.Service/Method`."""
