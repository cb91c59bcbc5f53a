"""What is to be done about an attempt, from what is in Postgres and in the cluster: by the state, not by events."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum

from runstream_server.jobs.kubernetes.explaining import Ended, Stuck, Waits, deleted, explain
from runstream_server.jobs.kubernetes.model import JobView, Pods, PodView
from runstream_server.jobs.model import Assignment, JobState

LEAVING = timedelta(minutes=2)
"""How long pods have to end by themselves after their runner reported the end."""

_OPEN = (JobState.OFFERED, JobState.HELD)


class Step(Enum):
    """Something to do that needs no explanation."""

    NOTHING = "nothing"

    CREATE = "create"
    """Make what is not there yet."""

    DELETE = "delete"
    """Delete the Job."""

    FORGET = "forget"
    """Nothing is left to look after."""


@dataclass(frozen=True, slots=True)
class Tell:
    """Note why the run waits."""

    message: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End the attempt."""

    ended: Ended

    is_gone: bool = False
    """Whether that is concluded from a Job not being there."""


Decision = Step | Tell | Fail


@dataclass(frozen=True, slots=True)
class Patience:
    """How long pods may fail to start for a reason that hardly goes away."""

    limit: timedelta

    stuck_for: Mapping[str, timedelta]
    """By the name of the pod, how long it has failed to."""

    def is_over(self, pod: PodView) -> bool:
        """Whether a pod has failed to start for too long."""
        return self.stuck_for.get(pod.name, timedelta(0)) >= self.limit


def decide(assignment: Assignment, job: JobView | None, pods: Pods, patience: Patience) -> Decision:
    """What is to be done now."""
    if not assignment.counts:
        return _clear(job)
    if assignment.job_state is JobState.ENDED:
        return _clear(job) if _is_over(job) or _has_left(assignment) else Step.NOTHING
    if assignment.job_state not in _OPEN:
        return Step.NOTHING
    if not assignment.uid:
        return Step.CREATE
    if job is None:
        return Step.NOTHING if _may_live(pods) else Fail(deleted(assignment.name, assignment.place), is_gone=True)
    return _look(assignment, job, pods, patience)


def orphans(jobs: Sequence[JobView], assignments: Sequence[Assignment]) -> Sequence[JobView]:
    """Jobs that run for nobody: made by a process that was thought lost, for example."""
    known = {assignment.name for assignment in assignments}
    return [job for job in jobs if job.name not in known and not _is_over(job)]


def _has_left(assignment: Assignment) -> bool:
    return assignment.read_time >= assignment.state_time + LEAVING


def _clear(job: JobView | None) -> Step:
    return Step.FORGET if _is_over(job) else Step.DELETE


def _is_over(job: JobView | None) -> bool:
    return job is None or job.is_over or job.is_deleted


def _may_live(pods: Pods) -> bool:
    return any(not pod.is_deleted or pod.phase == "Running" for pod in pods)


def _look(assignment: Assignment, job: JobView, pods: Pods, patience: Patience) -> Decision:
    now, is_claimed = assignment.read_time, assignment.job_state is JobState.HELD
    found = explain(job, pods, assignment.place, is_claimed=is_claimed)
    if isinstance(found, Ended):
        is_held = assignment.hold_time is not None and assignment.hold_time > now
        return Step.NOTHING if found.may_live and is_held else Fail(found)
    if isinstance(found, Stuck) and patience.is_over(found.pod):
        return Fail(Ended(found.code, f"{found.message[:1].upper()}{found.message[1:]}."))
    message = found.message if isinstance(found, Waits) else f"{found.message}; it is tried again"
    return Tell(message) if message != assignment.message else Step.NOTHING
