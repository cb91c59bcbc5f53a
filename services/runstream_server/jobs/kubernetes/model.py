"""The words of jobs on Kubernetes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta


@dataclass(frozen=True, slots=True)
class PodNeeds:
    """What the definition of a job says about its pods."""

    image: str = ""
    """Empty: the environment has none."""

    has_dockerfile: bool = False
    """Whether the image would have to be built first."""

    node_count: int = 1
    gpus: int = 0
    labels: Mapping[str, str] = field(default_factory=dict)
    """What the nodes must have."""

    shm_bytes: int = 0
    """The size of `/dev/shm`; 0: what the container engine gives."""

    termination_grace: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class JobView:
    """What matters of a Job of the cluster."""

    name: str
    uid: str
    run: str
    """The name of the run that it says it is for."""

    suspended: bool = False
    is_deleted: bool = False
    """Whether its deletion has begun."""

    complete: bool = False
    failure_reason: str = ""
    """Empty: it has not failed."""

    failure_message: str = ""

    @property
    def is_over(self) -> bool:
        """Whether no pod of it runs any more, or will."""
        return self.complete or bool(self.failure_reason)


@dataclass(frozen=True, slots=True)
class PodView:
    """What matters of a pod."""

    name: str
    job: str
    index: int = 0
    phase: str = ""
    node: str = ""

    reason: str = ""
    """Why the pod as a whole is as it is: `Evicted` for example."""

    message: str = ""

    unschedulable: str = ""
    """What the scheduler says; empty: it has a node, or was not looked at."""

    disruption: str = ""
    """Why the cluster ends it: `PreemptionByScheduler` for example."""

    disruption_message: str = ""
    is_deleted: bool = False

    waiting_reason: str = ""
    """Why a container of it has not started: `ImagePullBackOff` for example."""

    waiting_message: str = ""

    container: str = ""
    """The container that waits or has ended."""

    image: str = ""
    exit_code: int | None = None
    """That of the container of the job, or of one that failed before it; None: it has not ended."""

    exit_reason: str = ""
    exit_message: str = ""
    memory_limit: str = ""


Pods = Sequence[PodView]
