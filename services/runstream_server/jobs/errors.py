"""What can go wrong with jobs, compute targets, environments and agents."""

from runstream_server.errors import Aborted, AlreadyExists, FailedPrecondition, Unavailable
from runstream_server.names import ComputeTargetName, RunName


class ComputeTargetExists(AlreadyExists):
    """Another compute target has the name."""

    reason = "COMPUTE_TARGET_EXISTS"

    def __init__(self, name: ComputeTargetName) -> None:
        super().__init__(f"{name} exists; change it with UpdateComputeTarget, or choose another name", name=name)


class ComputeTargetFixed(FailedPrecondition):
    """The compute target cannot be changed in this way."""

    reason = "COMPUTE_TARGET_FIXED"

    def __init__(self, name: ComputeTargetName, problem: str) -> None:
        super().__init__(f"{name}: {problem}", compute_target=name)


class ComputeTargetInUse(FailedPrecondition):
    """Jobs of the compute target have not ended."""

    reason = "COMPUTE_TARGET_IN_USE"

    def __init__(self, name: ComputeTargetName, job_count: int) -> None:
        super().__init__(
            f"{job_count} jobs of {name} have not ended; cancel their runs, or wait for them",
            compute_target=name,
            job_count=job_count,
        )


class ClusterNotConfigured(FailedPrecondition):
    """The service knows no such Kubernetes cluster."""

    reason = "CLUSTER_NOT_CONFIGURED"

    def __init__(self, cluster: str) -> None:
        named = f"no Kubernetes cluster {cluster!r}" if cluster else "no Kubernetes cluster"
        super().__init__(f"{named} is configured in the service; ask whoever runs it", cluster=cluster)


class TargetCannotRun(FailedPrecondition):
    """A target of this kind cannot execute the definition."""

    reason = "TARGET_CANNOT_RUN"

    def __init__(self, name: ComputeTargetName, problem: str) -> None:
        super().__init__(f"{name} cannot execute the job: {problem}", compute_target=name)


class NotAnAgentPool(FailedPrecondition):
    """The compute target does not consist of agents."""

    reason = "NOT_AN_AGENT_POOL"

    def __init__(self, name: ComputeTargetName) -> None:
        super().__init__(
            f"{name} does not consist of agents; create a compute target of kind agent pool", compute_target=name
        )


class RunExists(AlreadyExists):
    """Another request made a run with this id."""

    reason = "RUN_EXISTS"

    def __init__(self, name: RunName) -> None:
        super().__init__(f"{name} exists; choose another run_id, or leave it out", run=name)


class JobHeld(FailedPrecondition):
    """Somebody else has the job."""

    reason = "JOB_HELD"

    def __init__(self, name: RunName, holder: str) -> None:
        super().__init__(
            f"the job of {name} is with {holder!r}; a job has one runner at a time", run=name, holder=holder
        )


class JobEnded(FailedPrecondition):
    """The run of the job has ended."""

    reason = "JOB_ENDED"

    def __init__(self, name: RunName) -> None:
        super().__init__(f"{name} has ended, or was cancelled; there is nothing to execute any more", run=name)


class LeaseLost(Aborted):
    """The lease no longer counts."""

    reason = "LEASE_LOST"

    def __init__(self, name: RunName, lease: int, present: int) -> None:
        super().__init__(
            f"lease {lease} of the job of {name} no longer counts, {present} does; stop its processes",
            run=name,
            lease=lease,
            present_lease=present,
        )


class AgentReplaced(Aborted):
    """The agent connected again."""

    reason = "AGENT_REPLACED"

    def __init__(self, agent: object) -> None:
        super().__init__(
            f"an agent named {agent} connected again; if that is another machine, give each a name of its own",
            agent=agent,
        )


class AgentSilent(Unavailable):
    """Nothing was heard of an agent for too long."""

    reason = "AGENT_SILENT"

    def __init__(self, seconds: float) -> None:
        super().__init__(f"nothing was heard of the agent for {seconds:g} s; connect again", seconds=f"{seconds:g}")
