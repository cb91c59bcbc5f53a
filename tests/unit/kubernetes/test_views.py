"""What is read of objects as clusters send them: whole, in part, or with fields that nobody knows."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from runstream_server.jobs.kubernetes.views import job_view, pod_view

POD: dict[str, Any] = {
    "metadata": {
        "name": "rs-a-1-2-x",
        "labels": {"runstream.io/job": "rs-a-1"},
        "annotations": {"batch.kubernetes.io/job-completion-index": "2"},
    },
    "spec": {
        "nodeName": "n1",
        "containers": [{"name": "main", "resources": {"limits": {"memory": "4Gi"}}}],
        "initContainers": [{"name": "fetch"}],
    },
    "status": {
        "phase": "Failed",
        "conditions": [{"type": "PodScheduled", "status": "True"}],
        "initContainerStatuses": [{"name": "fetch", "state": {"terminated": {"exitCode": 0, "reason": "Completed"}}}],
        "containerStatuses": [
            {"name": "main", "image": "a:1", "state": {"terminated": {"exitCode": 137, "reason": "OOMKilled"}}}
        ],
    },
}


@st.composite
def parts(draw: st.DrawFn, whole: Any) -> Any:
    """An object some fields of which are missing, or null."""
    if isinstance(whole, dict):
        kept = {key: draw(parts(value)) for key, value in whole.items() if draw(st.booleans())}
        return kept if draw(st.integers(0, 9)) else None
    if isinstance(whole, list):
        return [each for each in (draw(parts(value)) for value in whole) if each is not None]
    return whole


def test_a_pod_that_ended_says_why() -> None:
    view = pod_view(POD)

    assert (view.job, view.index, view.node, view.unschedulable) == ("rs-a-1", 2, "n1", "")
    assert (view.container, view.exit_code, view.exit_reason) == ("main", 137, "OOMKilled")
    assert view.memory_limit == "4Gi"


def test_a_container_that_fails_before_the_main_one_decides() -> None:
    failed = [{"name": "fetch", "state": {"terminated": {"exitCode": 1}}}]

    view = pod_view(POD | {"status": POD["status"] | {"initContainerStatuses": failed}})

    assert (view.container, view.exit_code) == ("fetch", 1)


@given(parts(POD))
def test_what_is_missing_of_a_pod_does_no_harm(pod: Any) -> None:
    view = pod_view(pod or {})

    assert view.exit_code in (None, 0, 137)


def test_a_condition_that_does_not_hold_says_nothing() -> None:
    conditions = [{"type": "Failed", "status": "False", "reason": "x"}, {"type": "Complete", "status": "True"}]

    view = job_view({"metadata": {"name": "j"}, "spec": {"suspend": None}, "status": {"conditions": conditions}})

    assert (view.failure_reason, view.complete, view.suspended, view.is_over) == ("", True, False, True)
