"""Section 21: what is raised when the services refuse, or are not there."""

import socket
import subprocess
import sys
from pathlib import Path

import pytest

from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import AzureMLException, ServiceException, UserErrorException


def test_what_does_not_exist_is_a_404(ws: Workspace) -> None:
    with pytest.raises(ServiceException) as caught:
        Run.get(ws, "nowhere")

    assert (caught.value.status_code, caught.value.reason) == (404, "RUN_NOT_FOUND")
    assert isinstance(caught.value, AzureMLException)


def test_what_is_taken_or_not_allowed_is_a_user_error(exp: Experiment, run: Run) -> None:
    with pytest.raises(UserErrorException):
        exp.start_logging(run_id=run.id, outputs=False)
    with pytest.raises(UserErrorException):
        exp.start_logging(run_id="a/b", outputs=False)
    with pytest.raises(UserErrorException) as caught:
        run.set_tags({"k" * 251: "v"})
    assert caught.value.reason == "INVALID_FIELD"


def test_an_exception_shows_class_message_and_document(run: Run) -> None:
    run.add_properties({"author": "ada"})
    with pytest.raises(UserErrorException) as caught:
        run.add_properties({"author": "eve"})

    text = str(caught.value)
    for part in ("UserErrorException:", "Message: ", "InnerException None", '"code": "UserError"', "PROPERTY_CONFLICT"):
        assert part in text
    assert caught.value.metadata["key"] == "author"


@pytest.mark.parametrize("listening", [True, False])
def test_services_that_are_away_are_an_error_that_says_what_to_do(
    listening: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        if listening:  # and never answering
            listener.listen()
        monkeypatch.setenv("RUNSTREAM_ADDRESS", f"127.0.0.1:{listener.getsockname()[1]}")

        with pytest.raises(ServiceException, match=r"cannot be reached.*runstream up.*RUNSTREAM_ADDRESS") as caught:
            Workspace.get()

    assert (caught.value.status_code, caught.value.reason) == (503, "UNREACHABLE")


def test_without_an_address_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNSTREAM_ADDRESS")

    with pytest.raises(UserErrorException, match=r"runstream up.*RUNSTREAM_ADDRESS.*runstream login"):
        Workspace.get()


@pytest.mark.parametrize(
    "script",
    [
        "Workspace.get('{ws}')",
        "run = Experiment(Workspace.get('{ws}'), 'e').start_logging(outputs=False)",
        "run = Experiment(Workspace.get('{ws}'), 'e').start_logging(outputs=False); run.log('a', 1); run.complete()",
        "run = Experiment(Workspace.get('{ws}'), 'e').start_logging(outputs=False); run.log('a', 1); 1 / 0",
    ],
)
def test_a_script_ends_when_it_is_done(ws: Workspace, script: str) -> None:
    code = f"from runstream.core import Experiment, Workspace\n{script.format(ws=ws.name)}"

    done = subprocess.run([sys.executable, "-W", "default", "-c", code], capture_output=True, text=True, timeout=60)

    assert done.returncode == ("1 / 0" in script)
    assert ("ZeroDivisionError" in done.stderr) or done.stderr == "", done.stderr
    assert not list(Path.cwd().glob("core*"))
