"""Section 7: how runs start and end."""

import sys
from pathlib import Path

import pytest

from runstream._spool import RunSpool
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


def test_leaving_the_with_statement_completes_the_run(run: Run) -> None:
    with run as entered:
        assert entered is run
        assert run.get_status() == "Running"
        run.log("loss", 0.5)

    assert (run.status, run.get_status()) == ("Completed", "Completed")
    assert run.get_metrics() == {"loss": 0.5}


def test_an_exception_fails_the_run_and_goes_on(run: Run) -> None:
    with pytest.raises(ValueError, match="boom"):
        fail_in(run)

    assert run.get_status() == "Failed"
    assert error_of(run)["message"] == "User program failed with ValueError: boom"


@pytest.mark.parametrize(("code", "status"), [(None, "Completed"), (0, "Completed"), (3, "Failed"), ("why", "Failed")])
def test_the_exit_code_decides_and_the_exit_goes_on(run: Run, code: object, status: str) -> None:
    with pytest.raises(SystemExit) as caught:
        exit_in(run, code)

    assert (run.get_status(), caught.value.code) == (status, code)


def test_what_is_printed_becomes_the_log_of_the_run(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run:
        print("hello")
        print("beware", file=sys.stderr)

    assert run.get_details_with_logs()["logFiles"] == {"logs/user_log.txt": "hello\nbeware\n"}
    assert capsys.readouterr() == ("hello\n", "beware\n")


def test_outputs_are_stored_when_the_run_ends_either_way(exp: Experiment) -> None:
    Path("outputs/deep").mkdir(parents=True)
    Path("outputs/deep/model.txt").write_text("model")
    completed, failed = (exp.start_logging(snapshot_directory=None) for _ in range(2))

    completed.complete()
    failed.fail("bad")

    assert completed.get_file_names() == failed.get_file_names() == ["outputs/deep/model.txt"]
    completed.download_file("outputs/deep/model.txt", "here/")
    assert Path("here/model.txt").read_text() == "model"


def test_reading_metrics_makes_no_queue_and_takes_no_refusal_from_flush(run: Run) -> None:
    run.get_metrics()
    assert RunSpool.find(run._record.name, run._workspace._address) is None

    run.log("n" * 10_000, 1)
    assert run.get_metrics() == {}
    with pytest.raises(AzureMLException, match="Not everything"):
        run.flush()
