"""Section 7: how runs start and end."""

import sys
from pathlib import Path

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import AzureMLException


def fail_in(run: Run) -> None:
    with run:
        raise ValueError("boom")


def exit_in(run: Run, code: object) -> None:
    with run:
        sys.exit(code)  # type: ignore[arg-type]


def error_of(run: Run) -> dict[str, object]:
    error: dict[str, object] = run.get_details()["error"]["error"]
    return error


def test_complete_ends_a_run(run: Run) -> None:
    run.complete()

    assert (run.status, run.get_status()) == ("Completed", "Completed")


def test_complete_without_status_leaves_the_run_running(run: Run) -> None:
    run.complete(_set_status=False)
    run.fail("bad", _set_status=False)

    assert run.get_status() == "Running"


def test_fail_records_a_text(run: Run) -> None:
    run.fail("out of memory", "OutOfMemory")

    assert run.get_status() == "Failed"
    assert error_of(run) == {"code": "OutOfMemory", "message": "out of memory", "details": []}


def test_fail_records_an_exception_with_its_stack(run: Run) -> None:
    try:
        raise ValueError("boom")
    except ValueError as error:
        run.fail(error_details=error)

    recorded = error_of(run)
    assert (recorded["code"], recorded["message"]) == ("UserError", "User program failed with ValueError: boom")
    debug = recorded["debugInfo"]
    assert isinstance(debug, dict)
    assert debug["type"] == "ValueError"
    assert 'raise ValueError("boom")' in debug["stackTrace"]


def test_fail_needs_no_details(run: Run) -> None:
    run.fail()

    assert (run.get_status(), error_of(run)["code"]) == ("Failed", "UserError")


def test_fail_refuses_other_details(run: Run) -> None:
    with pytest.raises(TypeError):
        run.fail(error_details=3)  # type: ignore[arg-type]
    assert run.get_status() == "Running"


def test_a_long_error_is_cut_and_never_refused(run: Run) -> None:
    run.fail("x" * 100_000)

    assert run.get_status() == "Failed"
    assert 0 < len(str(error_of(run)["message"])) < 100_000


def test_cancel_is_immediate_and_can_be_repeated(run: Run) -> None:
    run.cancel()
    assert run.get_status() == "Canceled"
    run.cancel()
    assert run.get_status() == "Canceled"


def test_cancel_leaves_children_alone_unless_told_otherwise(run: Run) -> None:
    child = run.child_run()
    below = child.child_run()
    run.cancel()
    assert (child.get_status(), below.get_status()) == ("Running", "Running")

    child.cancel(recursive=True)

    assert (child.get_status(), below.get_status()) == ("Canceled", "Canceled")


def test_flush_of_nothing_and_clean_do_nothing(run: Run) -> None:
    run.flush()
    run.flush(timeout_seconds=1)
    run.clean()

    assert run.get_status() == "Running"


def test_the_status_is_asked_of_the_service_until_the_run_has_ended(exp: Experiment, run: Run) -> None:
    same = Run(exp, run.id)
    assert same.get_detailed_status() == {"status": "Running", "details": None}
    run.complete()

    assert (same.status, same.get_status(), same.status) == ("Running", "Completed", "Completed")


def test_outputs_that_cannot_be_uploaded_fail_the_run(exp: Experiment) -> None:
    run = exp.start_logging(snapshot_directory=None)
    Path("outputs/bad\nname").write_text("x")

    with pytest.raises(AzureMLException):
        run.complete()
    assert run.get_status() == "Failed"
