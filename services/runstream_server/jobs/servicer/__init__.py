"""`JobService` on the wire: decode, delegate, encode."""

from runstream.api.jobs.v1.job_service_pb2_grpc import JobServiceServicer
from runstream_server.jobs.servicer.base import Rules
from runstream_server.jobs.servicer.environments import EnvironmentMethods
from runstream_server.jobs.servicer.jobs import JobMethods
from runstream_server.jobs.servicer.targets import TargetMethods

__all__ = ["JobServicer", "Rules"]


class JobServicer(JobMethods, TargetMethods, EnvironmentMethods, JobServiceServicer):
    """`JobService` on the wire."""
