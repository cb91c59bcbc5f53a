"""Section 8: waiting for runs."""

import json
import threading
from collections.abc import AsyncIterator

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import Experiment, Run
from runstream.exceptions import ActivityFailedException


def test_a_run_that_has_ended_is_not_waited_for(run: Run) -> None:
    run.complete()

    assert run.wait_for_completion() == run.get_details()


def test_a_wait_ends_when_the_run_does(exp: Experiment, run: Run) -> None:
    watching = threading.Event()

    class Watched(Run):
        """Tells when it waits for changes."""

        def _changes(self) -> AsyncIterator[run_pb2.Run]:
            watching.set()
            return super()._changes()

    ender = threading.Thread(target=lambda: (watching.wait(60), run.complete()))
    ender.start()

    details = Watched(exp, run.id).wait_for_completion()

    ender.join()
    assert details["status"] == "Completed"


def test_a_failed_run_raises_with_its_error_as_json(run: Run) -> None:
    run.fail("boom", "Bad")

    with pytest.raises(ActivityFailedException) as caught:
        run.wait_for_completion()
    error = json.loads(caught.value.message[caught.value.message.index("{") :])
    assert error["error"] == {"code": "Bad", "message": "boom", "details": []}
    assert "\n    " in caught.value.message


def test_a_failed_run_does_not_raise_when_told_not_to(run: Run) -> None:
    run.fail("boom")

    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_canceled_run_never_raises(run: Run) -> None:
    run.cancel()

    assert run.wait_for_completion(wait_post_processing=True)["status"] == "Canceled"


def test_the_output_of_a_run_without_logs_is_its_summary(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.complete()
    run.wait_for_completion(show_output=True)

    heading = f"RunId: {run.id}\nWeb View: {run.get_portal_url()}\n"
    assert capsys.readouterr().out == f"{heading}\n\nExecution Summary\n=================\n{heading}\n"


def test_the_summary_has_the_error_only_when_it_is_not_raised(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.fail("boom")
    with pytest.raises(ActivityFailedException):
        run.wait_for_completion(show_output=True)
    assert "Error:" not in capsys.readouterr().out

    run.wait_for_completion(show_output=True, raise_on_error=False)

    shown = capsys.readouterr().out
    assert json.loads(shown[shown.index("Error:\n") + len("Error:\n") :])["error"]["message"] == "boom"


def test_the_summary_has_the_warnings(run: Run, call: object, capsys: pytest.CaptureFixture[str]) -> None:
    warning = run_pb2.RunWarning(source="test", message="beware")
    request = api.AddWarningsRequest(name=run._record.name, warnings=[warning])
    call(run.experiment.workspace, "AddWarnings", request)  # type: ignore[operator]
    run.complete()

    run.wait_for_completion(show_output=True)

    assert "beware" in capsys.readouterr().out
    assert run.get_details()["warnings"] == [{"source": "test", "message": "beware"}]


def test_children_are_waited_for_one_after_the_other(run: Run) -> None:
    for child in run.create_children(count=3):
        child.complete()

    assert [child.wait_for_completion()["status"] for child in run.get_children()] == ["Completed"] * 3
