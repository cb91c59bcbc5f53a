"""Section 9: everything known of a run, and its logs."""

import re
from pathlib import Path

import pytest

from runstream.core import Experiment, Run
from runstream.core._run.creation import current_user
from runstream.exceptions import UserErrorException

TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


@pytest.fixture
def printed(exp: Experiment) -> Run:
    """A completed run that printed a line."""
    with exp.start_logging(snapshot_directory=None) as run:
        print("hello")
    return run


def test_a_running_run_has_no_keys_without_values(run: Run) -> None:
    details = run.get_details()

    assert TIME.fullmatch(details.pop("startTimeUtc"))
    assert details == {
        "runId": run.id,
        "status": "Running",
        "services": {},
        "properties": {},
        "inputDatasets": [],
        "outputDatasets": [],
        "submittedBy": current_user(),
        "logFiles": {},
    }


def test_an_ended_run_has_its_end_and_its_error(run: Run) -> None:
    run.add_properties({"author": "ada"})
    run.fail("boom")

    details = run.get_details()

    assert TIME.fullmatch(details["endTimeUtc"])
    assert details["properties"] == {"author": "ada"}
    assert details["error"]["error"] == {"code": "UserError", "message": "boom", "details": []}
    assert TIME.fullmatch(details["error"]["time"])


def test_log_files_have_addresses_and_on_request_texts(printed: Run) -> None:
    assert printed.get_details()["logFiles"] == {
        "logs/user_log.txt": f"{printed.get_portal_url()}/logs/logs/user_log.txt"
    }
    assert printed.get_details_with_logs()["logFiles"] == {"logs/user_log.txt": "hello\n"}


def test_all_logs_are_downloaded_with_their_folders(printed: Run) -> None:
    assert printed.get_all_logs() == [f"assets/{printed.id}/logs/user_log.txt"]
    assert printed.get_all_logs("here/there") == ["here/there/logs/user_log.txt"]
    assert Path("here/there/logs/user_log.txt").read_text() == "hello\n"
    Path("file").write_text("x")
    with pytest.raises(UserErrorException):
        printed.get_all_logs("file")


def test_the_output_of_a_run_is_shown(printed: Run, capsys: pytest.CaptureFixture[str]) -> None:
    capsys.readouterr()
    printed.wait_for_completion(show_output=True)

    assert "\nStreaming logs/user_log.txt\n===========================\n\nhello\n" in capsys.readouterr().out
