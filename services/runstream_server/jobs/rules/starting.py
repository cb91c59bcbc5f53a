"""How jobs of each kind of target get to runners: the one place that a new kind is added to."""

from collections.abc import Mapping
from typing import Protocol

from runstream_server.jobs.errors import ClusterNotConfigured, TargetCannotRun
from runstream_server.jobs.model import ComputeTarget, Job, JobSpec, KubernetesNamespace, TargetKind
from runstream_server.names import AgentName, ComputeTargetName

HINT_TOPIC = "jobs"
"""Hints that jobs changed: those that agents have by the name of the agent, others by the name of their target."""


class JobStarter(Protocol):
    """Gets the jobs of one kind of target to runners. It hears of them by hints, and finds them in the store."""

    def check_target(self, target: ComputeTarget) -> None:
        """Raises ClusterNotConfigured or InvalidField if jobs could never be started there."""

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Raises TargetCannotRun if the target cannot execute this."""

    async def status_message(self, target: ComputeTarget) -> str:
        """How the target stands, for people."""

    async def queueing_message(self, job: Job) -> str:
        """Why a job that is queued or offered waits, for people."""


Starters = Mapping[TargetKind, JobStarter]


class CallerStarts:
    """Jobs of `local`: who submits them starts their runners."""

    def check_target(self, target: ComputeTarget) -> None:
        """Accepts it."""

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Accepts what one machine can execute."""
        check_one_node(target, spec)

    async def status_message(self, target: ComputeTarget) -> str:
        """Nothing to tell."""
        return ""

    async def queueing_message(self, job: Job) -> str:
        """Who is waited for."""
        return "waits for the runner that the submitting program starts on its machine"


class NoClusters:
    """Kubernetes targets of a service that knows no cluster: they can be described, and nothing else."""

    def check_target(self, target: ComputeTarget) -> None:
        """Refuses it."""
        raise ClusterNotConfigured(_cluster(target))

    def check_job(self, target: ComputeTarget, spec: JobSpec) -> None:
        """Refuses it."""
        raise TargetCannotRun(target.name, "no Kubernetes cluster is configured in the service; ask whoever runs it")

    async def status_message(self, target: ComputeTarget) -> str:
        """What is missing."""
        return "no Kubernetes cluster is configured in the service"

    async def queueing_message(self, job: Job) -> str:
        """What is missing."""
        return "no Kubernetes cluster is configured in the service"


def agent_key(target: ComputeTargetName, agent: str) -> str:
    """The key of hints for one agent."""
    return str(AgentName(target, agent))


def check_one_node(target: ComputeTarget, spec: JobSpec) -> None:
    """Raises TargetCannotRun if a job wants several nodes."""
    if spec.node_count > 1:
        raise TargetCannotRun(
            target.name,
            f"its processes would run on {spec.node_count} nodes, and here a job runs on one; set node_count 1",
        )


def _cluster(target: ComputeTarget) -> str:
    return target.configuration.cluster if isinstance(target.configuration, KubernetesNamespace) else ""
