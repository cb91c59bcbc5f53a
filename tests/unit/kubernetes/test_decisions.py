"""What is done about an attempt, by its state in Postgres and in the cluster."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from runstream_server.jobs.kubernetes.deciding import LEAVING, Fail, Patience, Step, Tell, decide, orphans
from runstream_server.jobs.kubernetes.explaining import Ended, Waits, explain, is_stuck
from runstream_server.jobs.kubernetes.model import JobView, PodView
from runstream_server.jobs.model import Assignment, JobState, Place
from runstream_server.names import ComputeTargetName, RunName

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
PATIENCE = timedelta(minutes=5)
PLACE = Place("east", "ml")
JOB = JobView(name="rs-a-1", uid="u", run="workspaces/w/runs/a")
OVER = replace(JOB, failure_reason="BackoffLimitExceeded")
POD = PodView(name="rs-a-1-0-x", job="rs-a-1", phase="Running", node="n1")
LOST = replace(POD, disruption="DeletionByTaintManager", is_deleted=True)


def assignment(**changes: Any) -> Assignment:
    made = Assignment(
        run=RunName("w-1", "a"),
        attempt=1,
        lease=1,
        place=PLACE,
        name="rs-a-1",
        uid="u",
        message="",
        target=ComputeTargetName("w-1", "gpu"),
        job_state=JobState.OFFERED,
        job_lease=1,
        max_attempts=1,
        job_attempt=1,
        read_time=NOON,
        state_time=NOON,
        hold_time=None,
    )
    return replace(made, **changes)


def decided(job: JobView | None = JOB, *pods: PodView, at: datetime = NOON, **of_assignment: Any) -> Any:
    stuck_for = {pod.name: at - NOON for pod in pods if is_stuck(pod)}
    return decide(assignment(read_time=at, **of_assignment), job, pods, Patience(PATIENCE, stuck_for))


@pytest.mark.parametrize("state", JobState)
def test_a_job_of_an_attempt_that_does_not_count_is_deleted_then_forgotten(state: JobState) -> None:
    sights = [JOB, replace(JOB, is_deleted=True), OVER, replace(JOB, complete=True), None]

    decisions = [decided(job, job_state=state, job_lease=2) for job in sights]

    assert decisions == [Step.DELETE, Step.FORGET, Step.FORGET, Step.FORGET, Step.FORGET]


def test_what_was_never_made_whole_is_made() -> None:
    assert [decided(job, uid="") for job in (None, JOB)] == [Step.CREATE, Step.CREATE]


def test_pods_may_leave_by_themselves_for_a_while_after_the_end() -> None:
    times = [NOON, NOON + LEAVING - timedelta(seconds=1), NOON + LEAVING]

    steps = [decided(JOB, POD, at=at, job_state=JobState.ENDED) for at in times]

    assert steps == [Step.NOTHING, Step.NOTHING, Step.DELETE]
    assert decided(OVER, job_state=JobState.ENDED) is Step.FORGET


@pytest.mark.parametrize("state", [JobState.ENDING, JobState.REQUEUEING, JobState.QUEUED])
def test_a_job_whose_run_is_being_told_is_left_alone(state: JobState) -> None:
    assert decided(OVER, job_state=state) is Step.NOTHING


def test_a_lost_node_is_waited_for_as_long_as_its_runner_has_the_job() -> None:
    held: dict[str, Any] = {"job_state": JobState.HELD, "hold_time": NOON + timedelta(minutes=1)}

    before, after = decided(JOB, LOST, **held), decided(JOB, LOST, at=NOON + timedelta(minutes=2), **held)

    assert before is Step.NOTHING
    assert isinstance(after, Fail)
    assert (after.ended.code, after.ended.repeats) == ("NodeLost", True)


def test_a_missing_job_ends_its_attempt_when_no_pod_of_it_lives() -> None:
    assert decided(None, POD) is Step.NOTHING
    gone = decided(None, replace(POD, is_deleted=True, phase="Gone"))
    assert isinstance(gone, Fail)
    assert (gone.ended.code, gone.is_gone) == ("PodDeleted", True)


def test_an_image_that_cannot_be_fetched_has_some_minutes() -> None:
    pod = replace(POD, phase="Pending", waiting_reason="ImagePullBackOff")

    early, late = decided(JOB, pod), decided(JOB, pod, at=NOON + PATIENCE)

    assert isinstance(early, Tell)
    assert early.message.endswith("cannot be fetched: ImagePullBackOff; it is tried again")
    assert isinstance(late, Fail)
    assert late.ended.code == "ImagePullFailed"


def test_a_second_node_that_cannot_start_ends_the_run_of_the_first() -> None:
    second = replace(POD, name="second", phase="Pending", waiting_reason="ErrImagePull")
    held: dict[str, Any] = {"job_state": JobState.HELD, "hold_time": NOON + timedelta(hours=1)}

    late = decided(JOB, POD, second, at=NOON + PATIENCE, **held)

    assert isinstance(late, Fail)
    assert late.ended.code == "ImagePullFailed"
    assert decided(JOB, POD, replace(second, waiting_reason=""), **held) is Step.NOTHING


def test_the_same_message_is_noted_once() -> None:
    told = decided(JOB)

    assert isinstance(told, Tell)
    assert decided(JOB, message=told.message) is Step.NOTHING


def test_jobs_that_run_for_nobody_are_found() -> None:
    others = [JOB, replace(JOB, name="stray"), replace(OVER, name="over")]

    assert [job.name for job in orphans(others, [assignment()])] == ["stray"]


def test_what_kueue_takes_back_from_a_runner_is_repeated() -> None:
    suspended = replace(JOB, suspended=True)

    taken = explain(suspended, [], PLACE, is_claimed=True)

    assert isinstance(taken, Ended)
    assert (taken.code, taken.repeats, taken.may_live) == ("Preempted", True, True)
    assert explain(suspended, [], PLACE, is_claimed=False) == Waits(
        "waits until Kueue admits it in namespace ml of cluster east"
    )


@pytest.mark.parametrize(
    ("pod", "code", "words"),
    [
        ({"exit_reason": "OOMKilled", "exit_code": 137, "container": "main", "memory_limit": "4Gi"},
         "OutOfMemory", "the 4Gi that its limit allows"),
        ({"exit_code": 137, "container": "main"}, "RunnerLost", "exit code 137 (SIGKILL) without reporting an end"),
        ({"exit_code": 0, "exit_reason": "Completed", "container": "main"}, "RunnerLost", "exit code 0 without"),
        ({"exit_code": 1, "container": "fetch"}, "RunnerNotStarted", "Container fetch of pod rs-a-1-0-x ended"),
        ({"reason": "Terminated", "message": "node shutdown."}, "NodeLost", "is gone or was shut down: node shutdown."),
        ({"disruption": "EvictionByEvictionAPI"}, "Evicted", "was evicted from node n1."),
        ({}, "PodDeleted", "are gone, deleted by somebody"),
    ],
)  # fmt: skip
def test_each_way_to_end_is_told_by_its_name(pod: dict[str, Any], code: str, words: str) -> None:
    found = explain(OVER, [replace(POD, **pod)], PLACE, is_claimed=True)

    assert isinstance(found, Ended)
    assert found.code == code
    assert words in found.message
