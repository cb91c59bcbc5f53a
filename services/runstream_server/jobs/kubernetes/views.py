"""What matters of the objects of a cluster, as they come."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from runstream_server.jobs.kubernetes import naming
from runstream_server.jobs.kubernetes.manifests import MAIN
from runstream_server.jobs.kubernetes.model import JobView, PodView

Object = Mapping[str, Any]

_INDEX = "batch.kubernetes.io/job-completion-index"


def job_view(job: Object) -> JobView:
    """What matters of a Job."""
    metadata, conditions = _part(job, "metadata"), _conditions(job)
    failed = conditions.get("Failed")
    return JobView(
        name=_text(metadata, "name"),
        uid=_text(metadata, "uid"),
        run=_text(_part(metadata, "annotations"), naming.RUN_ANNOTATION),
        suspended=bool(_part(job, "spec").get("suspend")),
        is_deleted=bool(metadata.get("deletionTimestamp")),
        complete="Complete" in conditions,
        failure_reason=(_text(failed, "reason") or "Failed") if failed is not None else "",
        failure_message=_text(failed or {}, "message"),
    )


def pod_view(pod: Object) -> PodView:
    """What matters of a pod."""
    metadata, spec, status = _part(pod, "metadata"), _part(pod, "spec"), _part(pod, "status")
    conditions, containers = _conditions(pod), _statuses(status)
    scheduling = next((each for each in _list(status, "conditions") if each.get("type") == "PodScheduled"), {})
    disruption = conditions.get("DisruptionTarget", {})
    waits, ended = _waiting(containers), _ended(containers)
    waiting, exit_ = _part(_part(waits, "state"), "waiting"), _part(_part(ended, "state"), "terminated")
    container = _text(ended or waits, "name")
    is_unschedulable = scheduling.get("status") == "False"
    return PodView(
        name=_text(metadata, "name"),
        job=_text(_part(metadata, "labels"), naming.JOB),
        index=_number(_text(_part(metadata, "annotations"), _INDEX)),
        phase=_text(status, "phase"),
        node=_text(spec, "nodeName"),
        reason=_text(status, "reason"),
        message=_text(status, "message"),
        unschedulable=(_text(scheduling, "message") or _text(scheduling, "reason")) if is_unschedulable else "",
        disruption=_text(disruption, "reason"),
        disruption_message=_text(disruption, "message"),
        is_deleted=bool(metadata.get("deletionTimestamp")),
        waiting_reason=_text(waiting, "reason"),
        waiting_message=_text(waiting, "message"),
        container=container,
        image=_text(ended or waits, "image"),
        exit_code=exit_.get("exitCode"),
        exit_reason=_text(exit_, "reason"),
        exit_message=_text(exit_, "message"),
        memory_limit=_memory_limit(spec, container),
    )


def _statuses(status: Object) -> Sequence[Object]:
    return [*_list(status, "initContainerStatuses"), *_list(status, "containerStatuses")]


def _waiting(containers: Iterable[Object]) -> Object:
    return next((each for each in containers if "waiting" in _part(each, "state")), {})


def _ended(containers: Sequence[Object]) -> Object:
    """The container that decided how the pod ended: the first that failed, else that of the job."""
    ended = [each for each in containers if "terminated" in _part(each, "state")]
    failed = [each for each in ended if _part(_part(each, "state"), "terminated").get("exitCode")]
    return next(iter([*failed, *(each for each in ended if each.get("name") == MAIN)]), {})


def _memory_limit(spec: Object, container: str) -> str:
    for each in (*_list(spec, "containers"), *_list(spec, "initContainers")):
        if each.get("name") == container:
            return _text(_part(_part(each, "resources"), "limits"), "memory")
    return ""


def _conditions(object_: Object) -> Mapping[str, Object]:
    """The conditions that hold, by type."""
    conditions = _list(_part(object_, "status"), "conditions")
    return {str(each.get("type")): each for each in conditions if each.get("status") == "True"}


def _part(object_: Object, key: str) -> Object:
    return object_.get(key) or {}


def _list(object_: Object, key: str) -> Sequence[Object]:
    return object_.get(key) or []


def _text(object_: Object, key: str) -> str:
    return str(object_.get(key) or "")


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else 0
