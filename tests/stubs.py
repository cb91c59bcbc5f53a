"""Stubs with the types of grpc.aio."""

from typing import TYPE_CHECKING, cast

import grpc

from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceStub
from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceStub
from runstream.api.logs.v1.log_service_pb2_grpc import LogServiceStub
from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceStub
from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub

if TYPE_CHECKING:
    from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceAsyncStub
    from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceAsyncStub
    from runstream.api.logs.v1.log_service_pb2_grpc import LogServiceAsyncStub
    from runstream.api.metrics.v1.metrics_service_pb2_grpc import MetricsServiceAsyncStub
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub


def run_history(channel: grpc.aio.Channel) -> "RunHistoryServiceAsyncStub":
    """A stub of RunHistoryService."""
    return cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(channel))


def metrics(channel: grpc.aio.Channel) -> "MetricsServiceAsyncStub":
    """A stub of MetricsService."""
    return cast("MetricsServiceAsyncStub", MetricsServiceStub(channel))


def logs(channel: grpc.aio.Channel) -> "LogServiceAsyncStub":
    """A stub of LogService."""
    return cast("LogServiceAsyncStub", LogServiceStub(channel))


def artifacts(channel: grpc.aio.Channel) -> "ArtifactServiceAsyncStub":
    """A stub of ArtifactService."""
    return cast("ArtifactServiceAsyncStub", ArtifactServiceStub(channel))


def jobs(channel: grpc.aio.Channel) -> "JobServiceAsyncStub":
    """A stub of JobService."""
    return cast("JobServiceAsyncStub", JobServiceStub(channel))
