"""Section 6: what status leads where. The rules of the services have tests of their own."""

from datetime import UTC, datetime
from typing import Any

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import Experiment, Run
from runstream.exceptions import UserErrorException


def end(run: Run, how: str) -> None:
    if how == "Completed":
        run.complete()
    elif how == "Failed":
        run.fail()
    else:
        run.cancel()


@pytest.mark.parametrize("first", ["Completed", "Failed", "Canceled"])
def test_a_run_that_has_ended_stays_as_it_is(run: Run, first: str) -> None:
    end(run, first)
    ended = run.get_details()

    for later in ("Completed", "Failed", "Canceled"):
        end(run, later)
    run.start()

    assert run.get_status() == first
    assert run.get_details() == ended


def test_an_ended_run_still_takes_labels(run: Run) -> None:
    run.complete()
    run.tag("late", "1")
    run.add_properties({"late": "1"})

    assert (run.get_tags(), run.get_properties()["late"]) == ({"late": "1"}, "1")


def test_interactive_runs_go_from_not_started_to_running(exp: Experiment, run: Run, call: Any) -> None:
    made = call(
        exp.workspace,
        "CreateRun",
        api.CreateRunRequest(
            parent=exp.workspace._record.name, run=run_pb2.Run(experiment=exp._record.name), run_id="waiting"
        ),
    )
    waiting = Run(exp, made.run.name.rpartition("/")[2])
    assert (waiting.status, waiting.get_details().get("startTimeUtc")) == ("NotStarted", None)

    waiting.start()
    waiting.start()

    assert waiting.get_status() == run.get_status() == "Running"
    assert "startTimeUtc" in waiting.get_details()


def test_a_run_that_was_not_started_can_be_canceled_but_not_completed(exp: Experiment, call: Any) -> None:
    request = api.CreateRunRequest(
        parent=exp.workspace._record.name, run=run_pb2.Run(experiment=exp._record.name), run_id="waiting"
    )
    call(exp.workspace, "CreateRun", request)
    waiting = Run(exp, "waiting")

    with pytest.raises(UserErrorException, match="NotStarted"):
        waiting.complete()
    waiting.cancel()

    assert waiting.get_status() == "Canceled"


def test_times_are_set_at_the_start_and_at_the_end(run: Run) -> None:
    began = run.get_details()
    run.complete()
    ended = run.get_details()

    assert "endTimeUtc" not in began
    assert began["startTimeUtc"] == ended["startTimeUtc"] <= ended["endTimeUtc"]
    for key in ("startTimeUtc", "endTimeUtc"):
        assert datetime.strptime(ended[key], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)


def test_parents_and_children_end_by_themselves(run: Run) -> None:
    child, other = run.child_run(), run.child_run()

    child.fail("bad")
    assert run.get_status() == "Running"
    run.complete()

    assert (run.get_status(), child.get_status(), other.get_status()) == ("Completed", "Failed", "Running")


def test_every_change_of_status_is_kept_with_its_time(run: Run) -> None:
    run.complete()

    run.get_detailed_status()
    history = run._record.status_history

    assert [run_pb2.RunStatus.Name(change.status) for change in history] == [
        "RUN_STATUS_NOT_STARTED",
        "RUN_STATUS_RUNNING",
        "RUN_STATUS_COMPLETED",
    ]
    times = [change.time.ToDatetime() for change in history]
    assert times == sorted(times)
