"""What is told of Jobs of several nodes of which one fails."""

from dataclasses import replace
from typing import Any

import pytest

from runstream_server.jobs.kubernetes.explaining import Ended, Waits, explain
from runstream_server.jobs.kubernetes.model import JobView, PodView
from runstream_server.jobs.model import Place

PLACE = Place("east", "ml")
JOB = JobView(name="rs-a-1", uid="u", run="workspaces/w/runs/a")
OVER = replace(JOB, failure_reason="BackoffLimitExceeded")
FIRST = PodView(name="rs-a-1-0-x", job="rs-a-1", index=0, phase="Running", node="n0")
SECOND = PodView(name="rs-a-1-1-x", job="rs-a-1", index=1, phase="Running", node="n1")


def ended(pod: PodView, code: int, **changes: Any) -> PodView:
    return replace(pod, phase="Failed" if code else "Succeeded", exit_code=code, container="main", **changes)


def told(job: JobView, *pods: PodView) -> Any:
    return explain(job, pods, PLACE, is_claimed=True)


@pytest.mark.parametrize("code", [0, 10, 11, 12])
def test_a_node_whose_runner_said_how_it_ended_is_left_to_the_first_one(code: int) -> None:
    assert told(JOB, FIRST, ended(SECOND, code)) == Waits("")


@pytest.mark.parametrize("code", [10, 11, 12])
def test_the_first_node_has_until_its_lease_lapses_to_report_why_another_failed(code: int) -> None:
    found = told(OVER, replace(FIRST, is_deleted=True, phase="Gone"), ended(SECOND, code))

    assert isinstance(found, Ended)
    assert found.may_live


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"exit_reason": "OOMKilled"}, "OutOfMemory"),
        ({}, "RunnerLost"),
        ({"reason": "Evicted", "is_deleted": True}, "Evicted"),
    ],
)
def test_a_node_that_is_lost_without_a_word_is_the_cause_before_the_cluster_has_ended_the_others(
    changes: dict[str, Any], code: str
) -> None:
    found = told(JOB, FIRST, ended(SECOND, 137, **changes))

    assert isinstance(found, Ended)
    assert (found.code, SECOND.name in found.message or SECOND.node in found.message) == (code, True)


@pytest.mark.parametrize("code", [137, 143])
def test_a_node_that_the_cluster_ended_with_another_one_is_not_the_cause(code: int) -> None:
    assert told(JOB, FIRST, ended(SECOND, code, is_deleted=True)) == Waits("")

    found = told(OVER, ended(FIRST, code, is_deleted=True), ended(SECOND, 1))
    assert isinstance(found, Ended)
    assert SECOND.name in found.message
