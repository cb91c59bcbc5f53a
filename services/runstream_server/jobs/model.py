"""The words of jobs."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import Enum, StrEnum

from runstream_server.names import ComputeTargetName, RunName

LOCAL = "local"
"""The compute target that every workspace has."""

LOST_AFTER = timedelta(hours=6)
"""How long a runner may be unheard of, where nobody said otherwise."""

KEEP_FINISHED = timedelta(hours=1)
"""How long a cluster keeps a finished job, where nobody said otherwise."""

Labels = Mapping[str, str]


class TargetKind(StrEnum):
    """What kind a compute target is of."""

    LOCAL = "local"
    AGENT_POOL = "agent_pool"
    KUBERNETES = "kubernetes"


@dataclass(frozen=True, slots=True)
class AgentPool:
    """Machines on which somebody started agents."""

    machine_type: str = ""
    lost_after: timedelta = LOST_AFTER
    min_nodes: int = 0
    max_nodes: int = 0


@dataclass(frozen=True, slots=True)
class KubernetesNamespace:
    """A namespace of a Kubernetes cluster, in which each job becomes a Job."""

    namespace: str
    cluster: str = ""
    default_image: str = ""
    resource_requests: Mapping[str, str] = field(default_factory=dict)
    resource_limits: Mapping[str, str] = field(default_factory=dict)
    node_selector: Labels = field(default_factory=dict)
    service_account: str = ""
    queue: str = ""
    pod_template_json: str = ""
    keep_finished: timedelta = KEEP_FINISHED
    service_address: str = ""


Configuration = AgentPool | KubernetesNamespace | None
"""What a kind of target needs to know; None for `local`."""


@dataclass(frozen=True, slots=True)
class ComputeTarget:
    """Where submitted runs execute."""

    name: ComputeTargetName
    kind: TargetKind
    description: str = ""
    configuration: Configuration = None

    create_time: datetime | None = None
    """None: it exists in every workspace."""

    @property
    def lost_after(self) -> timedelta | None:
        """How long the runner of a job may be unheard of before the job is given up; None: the target does not say."""
        return self.configuration.lost_after if isinstance(self.configuration, AgentPool) else None


@dataclass(frozen=True, slots=True)
class Environment:
    """A registered version of an environment."""

    workspace: str
    environment: str
    version: int

    definition: bytes
    """What is installed, as the contract says it."""

    create_time: datetime


@dataclass(frozen=True, slots=True)
class Requirements:
    """What a job needs of an agent."""

    slots: int = 1
    gpus: int = 0
    labels: Labels = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class JobSpec:
    """What a job executes."""

    definition: bytes
    """All of it, as the contract says it; for runners."""

    requirements: Requirements
    node_count: int
    max_attempts: int
    priority: int


@dataclass(frozen=True, slots=True)
class Submission:
    """A run to submit."""

    name: RunName
    target: ComputeTargetName
    request_id: uuid.UUID

    run: bytes
    """The run to create, as the contract says it."""

    spec: JobSpec


class JobState(Enum):
    """How far a job is."""

    SUBMITTING = "submitting"
    """Its run is being created."""

    QUEUED = "queued"
    """It waits for a runner."""

    OFFERED = "offered"
    """An agent was asked to start a runner."""

    HELD = "held"
    """A runner has it."""

    REQUEUEING = "requeueing"
    """Its runner was lost, and its run is being queued again."""

    ENDING = "ending"
    """Its run is being ended."""

    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a run is to end."""

    status: str
    """A terminal status, as the contract calls it without the prefix."""

    reason: str = ""
    code: str = ""
    message: str = ""
    exception_type: str = ""
    stack_trace: str = ""
    time: datetime | None = None


@dataclass(frozen=True, slots=True)
class Job:
    """The execution of a run."""

    name: RunName
    target: ComputeTargetName
    kind: TargetKind
    request_id: uuid.UUID
    state: JobState
    definition: bytes
    requirements: Requirements
    priority: int
    max_attempts: int
    attempt: int
    lease: int

    agent: str
    """The agent that it was offered to last; empty: none."""

    runner: str
    """Who holds it; empty: nobody."""

    sequence: int
    create_time: datetime
    decline_reason: str
    """Why the last agent that declined it did so; empty: none has."""

    declined_by: frozenset[str] = frozenset()
    """The agents that have declined it since it was last claimed."""

    ask_again_time: datetime | None = None
    """When they are asked again; None: none has declined it."""

    submission: bytes | None = None
    """The run to create, while it is being submitted."""

    verdict: Verdict | None = None
    """How its run is to end, while it is being ended."""

    @property
    def is_queued(self) -> bool:
        """Whether it waits for a runner to claim it."""
        return self.state in (JobState.QUEUED, JobState.OFFERED)


@dataclass(frozen=True, slots=True)
class AgentFacts:
    """What a machine offers."""

    target: ComputeTargetName
    agent: str
    host: str
    labels: Labels
    slots: int
    gpus: int
    draining: bool


@dataclass(frozen=True, slots=True)
class Agent:
    """A machine, as it is known."""

    facts: AgentFacts
    connected: bool
    last_seen_time: datetime
    runs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolRoom:
    """What the connected agents of a pool have together."""

    agents: int
    slots: int
    free_slots: int
    """Of those that do not drain."""


@dataclass(frozen=True, slots=True)
class PoolOutlook:
    """What a job may expect of the connected agents of its pool."""

    agents: int
    taking: int
    """How many do not drain."""

    unknown_label: str
    """The first label of the job, `key=value`, that no agent has; empty: each is there somewhere."""

    labelled: int
    """How many have all labels of the job. What follows is about these."""

    most_slots: int
    most_gpus: int
    large: int
    """How many have enough slots and GPUs for the job, free or not."""

    able: int
    """How many of the large ones do not drain."""

    willing: int
    """How many of the able ones have not declined the job."""

    with_free_gpus: int
    """How many do not drain and have enough free GPUs."""

    free: int
    """How many do not drain and have enough free GPUs and slots."""


@dataclass(frozen=True, slots=True)
class HeldJob:
    """A job of which somebody believes to be the holder."""

    name: RunName
    lease: int


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A namespace of a cluster."""

    cluster: str
    """The name that the settings give it; empty: the cluster that the service runs in."""

    namespace: str

    def __str__(self) -> str:
        return (
            f"namespace {self.namespace} of cluster {self.cluster}" if self.cluster else f"namespace {self.namespace}"
        )


@dataclass(frozen=True, slots=True)
class Assignment:
    """An attempt of a run that was given to a cluster, with its job as it is now."""

    run: RunName
    attempt: int

    lease: int
    """With which its runner claims the job."""

    place: Place

    name: str
    """That of the Job, and of all that belongs to it."""

    uid: str
    """That of the Job in the cluster; empty: it has yet to be made, or something that belongs to it."""

    message: str
    """Why it waits, for people."""

    target: ComputeTargetName
    job_state: JobState
    job_lease: int
    max_attempts: int
    job_attempt: int

    read_time: datetime
    """When this was read, by the clock of the database, whose times all the others are."""

    state_time: datetime
    """When the job entered its state."""

    hold_time: datetime | None
    """Until when the runner has the job; None: none has it."""

    @property
    def held(self) -> HeldJob:
        """The job under the lease of this attempt."""
        return HeldJob(self.run, self.lease)

    @property
    def counts(self) -> bool:
        """Whether its runner may still speak for the job."""
        return self.job_lease == self.lease
