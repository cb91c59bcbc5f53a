"""`JobService` on the wire: decode, delegate, encode."""

from runstream_server.jobs.servicer.agents import AgentMethods
from runstream_server.jobs.servicer.base import Rules
from runstream_server.jobs.servicer.environments import EnvironmentMethods
from runstream_server.jobs.servicer.jobs import JobMethods
from runstream_server.jobs.servicer.targets import TargetMethods

__all__ = ["JobServicer", "Rules"]


class JobServicer(JobMethods, AgentMethods, TargetMethods, EnvironmentMethods):
    """`JobService` on the wire."""
