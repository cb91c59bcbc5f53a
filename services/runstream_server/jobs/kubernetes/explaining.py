"""What the state of a Job and its pods means, in words for people."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from runstream_server.jobs.kubernetes.manifests import MAIN
from runstream_server.jobs.kubernetes.model import JobView, Pods, PodView
from runstream_server.jobs.model import Place

IMAGE_PULL_FAILED = "ImagePullFailed"
POD_CONFIGURATION = "PodConfigurationError"
OUT_OF_MEMORY = "OutOfMemory"
EVICTED = "Evicted"
PREEMPTED = "Preempted"
NODE_LOST = "NodeLost"
DEADLINE_EXCEEDED = "DeadlineExceeded"
POD_DELETED = "PodDeleted"
RUNNER_LOST = "RunnerLost"
RUNNER_NOT_STARTED = "RunnerNotStarted"

_PULLING = frozenset({"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "ImageInspectError"})
_MISCONFIGURED = frozenset({"CreateContainerConfigError", "CreateContainerError", "RunContainerError"})
_RUNNER_CODES = frozenset({0, 10, 11, 12})
"""With which a runner ends that did what there was to do; the one of the first node reports the end of the run."""
_KILLED = 137
_TERMINATED = 143


@dataclass(frozen=True, slots=True)
class Waits:
    """The run waits for something."""

    message: str
    """Empty: for nothing."""


@dataclass(frozen=True, slots=True)
class Stuck:
    """Something keeps the pod from starting that will hardly go away by itself."""

    code: str
    message: str
    pod: PodView


@dataclass(frozen=True, slots=True)
class Ended:
    """The attempt is over without a word of its runner."""

    code: str
    message: str

    repeats: bool = False
    """Whether it was not for the fault of the run, so that another attempt makes sense."""

    may_live: bool = False
    """Whether processes of it may still run, where the cluster does not see them."""

    pod: PodView | None = None
    """Whose log says more."""


Finding = Waits | Stuck | Ended


def explain(job: JobView, pods: Pods, place: Place, *, is_claimed: bool) -> Finding:
    """What is to be said of a Job whose runner has not reported an end; `is_claimed`: whether it took the run."""
    if lost := next((pod for pod in pods if pod.disruption == "DeletionByTaintManager"), None):
        return _disrupted(lost, may_live=not job.is_over)
    if job.is_over:
        return _explain_end(job, pods, place, is_claimed)
    if is_claimed and (silent := next((pod for pod in pods if pod.index and _is_silent(pod)), None)):
        return _ended_alone(silent, is_claimed)
    if job.suspended:
        return _suspended(place, is_claimed)
    started = _stuck(pods) or _explain_start(job, pods, place)
    return Waits("") if is_claimed and isinstance(started, Waits) else started


def is_stuck(pod: PodView) -> bool:
    """Whether something keeps a pod from starting that will hardly go away by itself."""
    return bool(_stuck([pod]))


def _suspended(place: Place, is_claimed: bool) -> Finding:
    if is_claimed:
        return Ended(PREEMPTED, "Kueue took the run's place in the queue away and stopped it.", True, may_live=True)
    return Waits(f"waits until Kueue admits it in {place}")


def _stuck(pods: Pods) -> Stuck | None:
    """A pod that does not start, though others of the same run may have."""
    for pod in _waiting(pods):
        if pod.waiting_reason in _PULLING:
            return Stuck(IMAGE_PULL_FAILED, _pulling(pod), pod)
        if pod.waiting_reason in _MISCONFIGURED:
            return Stuck(POD_CONFIGURATION, f"pod {pod.name} cannot be started: {_why(pod)}", pod)
    return None


def _waiting(pods: Pods) -> Pods:
    return [pod for pod in pods if pod.phase in ("Pending", "") and not pod.is_deleted]


def _explain_start(job: JobView, pods: Pods, place: Place) -> Waits:
    waiting = _waiting(pods)
    for pod in waiting:
        if pod.unschedulable:
            return Waits(f"no node takes pod {pod.name}: {pod.unschedulable}")
    for pod in waiting:
        if not pod.node:
            return Waits(f"pod {pod.name} waits for a node")
        return Waits(f"pod {pod.name} is being started on node {pod.node}: its image is fetched, or its volumes")
    if pods:
        return Waits(f"the runner starts in pod {pods[0].name}")
    return Waits(
        f"the cluster has made no pod for it yet; when that lasts, `kubectl describe job {job.name} -n"
        f" {place.namespace}` says why: a quota, for example"
    )


def _explain_end(job: JobView, pods: Pods, place: Place, is_claimed: bool) -> Ended:
    if "DeadlineExceeded" in (job.failure_reason, *(pod.reason for pod in pods)):
        return Ended(DEADLINE_EXCEEDED, f"The pods of Job {job.name} ran longer than activeDeadlineSeconds allows.")
    for pod in pods:
        if pod.disruption or pod.reason in _REASONS:
            return _disrupted(pod)
    for pod in pods:
        if pod.exit_reason == "OOMKilled":
            return _out_of_memory(pod)
    ended = sorted((pod for pod in pods if pod.exit_code is not None), key=_suspicion)
    if ended and is_claimed and ended[0].index and ended[0].exit_code in _RUNNER_CODES:
        return replace(_exited(ended[0], is_claimed), may_live=True)  # the first node reports why, if it still can
    if ended:
        return _exited(ended[0], is_claimed)
    details = f": {job.failure_message}" if job.failure_message else ""
    return Ended(POD_DELETED, f"The pods of Job {job.name} in {place} are gone, deleted by somebody{details}.", True)


def _is_silent(pod: PodView) -> bool:
    """Whether a pod has ended without a word of its runner, and not because another one has."""
    if pod.exit_code is None or pod.exit_code in _RUNNER_CODES:
        return False
    has_reason = bool(pod.disruption) or pod.reason in _REASONS or pod.exit_reason == "OOMKilled"
    return has_reason or (pod.exit_code != _TERMINATED and not pod.is_deleted)


def _ended_alone(pod: PodView, is_claimed: bool) -> Ended:
    """The end of a node that takes the others with it: the cluster stops them all."""
    if pod.disruption or pod.reason in _REASONS:
        return _disrupted(pod)
    return _out_of_memory(pod) if pod.exit_reason == "OOMKilled" else _exited(pod, is_claimed)


def _suspicion(pod: PodView) -> tuple[bool, bool, bool]:
    """Sorts the pod to the front that probably failed first: by itself, and without a word of its runner."""
    return pod.exit_code in _RUNNER_CODES, pod.exit_code == _TERMINATED or pod.is_deleted, not pod.exit_code


def deleted(name: str, place: Place) -> Ended:
    """The end of an attempt whose Job is gone."""
    return Ended(POD_DELETED, f"Job {name} in {place} is gone: somebody deleted it.", True)


def _out_of_memory(pod: PodView) -> Ended:
    limit = f"the {pod.memory_limit} that its limit allows" if pod.memory_limit else "its node has left"
    return Ended(
        OUT_OF_MEMORY,
        f"Container {pod.container} of pod {pod.name} needed more memory than {limit}, and was killed. Let the run need"
        " less, or raise the memory limit of the compute target.",
        pod=pod,
    )


def _exited(pod: PodView, is_claimed: bool) -> Ended:
    how = _exit(pod)
    if pod.container != MAIN:
        return Ended(RUNNER_NOT_STARTED, f"Container {pod.container} of pod {pod.name} {how}.", pod=pod)
    if is_claimed:
        return Ended(RUNNER_LOST, f"The runner in pod {pod.name} {how} without reporting an end.", True, pod=pod)
    return Ended(
        RUNNER_NOT_STARTED,
        f"The runner in pod {pod.name} {how} before it took the run. The image must have `python` with the package"
        " `runstream`, and the pod must reach the services.",
        pod=pod,
    )


def _exit(pod: PodView) -> str:
    signal = {_KILLED: " (SIGKILL)", _TERMINATED: " (SIGTERM)"}.get(pod.exit_code or 0, "")
    reason = f", {pod.exit_reason}" if pod.exit_reason not in ("", "Error", "Completed") else ""
    return f"ended with exit code {pod.exit_code}{signal}{reason}"


def _pulling(pod: PodView) -> str:
    image = f"image {pod.image}" if pod.image else "the image"
    return f"{image} of pod {pod.name} cannot be fetched: {_why(pod)}"


def _why(pod: PodView) -> str:
    return f"{pod.waiting_reason}: {pod.waiting_message}" if pod.waiting_message else pod.waiting_reason


def _evicted(pod: PodView) -> Ended:
    return Ended(EVICTED, f"Pod {pod.name} was evicted from node {pod.node}{_because(pod)}.", True)


def _preempted(pod: PodView) -> Ended:
    return Ended(PREEMPTED, f"Pod {pod.name} had to make room for one of higher priority{_because(pod)}.", True)


def _node_lost(pod: PodView) -> Ended:
    return Ended(NODE_LOST, f"Node {pod.node} with pod {pod.name} is gone or was shut down{_because(pod)}.", True)


_REASONS: Mapping[str, Callable[[PodView], Ended]] = {
    "Evicted": _evicted,
    "Preempting": _preempted,
    "NodeLost": _node_lost,
    "NodeShutdown": _node_lost,
    "Shutdown": _node_lost,
    "Terminated": _node_lost,
}
_DISRUPTIONS: Mapping[str, Callable[[PodView], Ended]] = {
    "PreemptionByScheduler": _preempted,
    "DeletionByTaintManager": _node_lost,
    "DeletionByPodGC": _node_lost,
}


def _disrupted(pod: PodView, *, may_live: bool = False) -> Ended:
    described = _DISRUPTIONS.get(pod.disruption) or _REASONS.get(pod.reason) or _evicted
    ended = described(pod)
    return Ended(ended.code, ended.message, ended.repeats, may_live)


def _because(pod: PodView) -> str:
    message = pod.message or pod.disruption_message
    return f": {message.rstrip('.')}" if message else ""
