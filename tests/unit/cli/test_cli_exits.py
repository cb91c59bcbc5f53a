"""Each kind of outcome has one exit code, and none shows a stack trace that nobody asked for."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import click
import pytest
from click.testing import Result

from runstream._cli.exits import ExitCode, exit_code, run_to_exit
from runstream._cli.settings import Settings
from runstream.exceptions import (
    AuthenticationException,
    AzureMLException,
    RunConfigurationException,
    ServiceException,
    UserErrorException,
)

Invoke = Callable[..., Result]

RUNSTREAM = Path(sys.executable).with_name("runstream")


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ServiceException("", status_code=404), ExitCode.NOT_FOUND),
        (ServiceException("", status_code=503), ExitCode.UNREACHABLE),
        (ServiceException("", status_code=409), ExitCode.REFUSED),
        (ServiceException("", status_code=429), ExitCode.OTHER),
        (ServiceException("", status_code=500), ExitCode.OTHER),
        (AuthenticationException(""), ExitCode.REFUSED),
        (UserErrorException(""), ExitCode.WRONG_CALL),
        (UserErrorException("", reason="INVALID_FILTER"), ExitCode.WRONG_CALL),
        (UserErrorException("", reason="INVALID_STATUS_CHANGE"), ExitCode.REFUSED),
        (UserErrorException("", reason="WORKSPACE_EXISTS"), ExitCode.REFUSED),
        (UserErrorException("", reason="NO_ADDRESS"), ExitCode.UNREACHABLE),
        (AzureMLException(""), ExitCode.OTHER),
        (RunConfigurationException(""), ExitCode.WRONG_CALL),
        (click.UsageError(""), ExitCode.WRONG_CALL),
        (click.Abort(), ExitCode.INTERRUPTED),
        (KeyboardInterrupt(), ExitCode.INTERRUPTED),
        (PermissionError("no"), ExitCode.OTHER),
        (ZeroDivisionError(), ExitCode.OTHER),
    ],
)
def test_an_error_has_the_exit_code_of_its_kind(error: BaseException, code: ExitCode) -> None:
    assert exit_code(error) is code


def test_a_defect_is_told_in_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise ZeroDivisionError("by zero")

    assert run_to_exit(work, Settings()) == 1
    assert capsys.readouterr().err == "Error: ZeroDivisionError: by zero (--debug tells more)\n"


def test_without_services_a_command_ends_with_code_4_and_says_what_to_do(invoke: Invoke) -> None:
    result = invoke("run", "list")

    assert result.exit_code == 4
    assert result.stderr.startswith("Error: No Runstream services found: start `runstream up`")
    assert "Traceback" not in result.output


def test_services_that_do_not_answer_are_unreachable(invoke: Invoke) -> None:
    result = invoke("run", "show", "-r", "1", "--address", "127.0.0.1:1")

    assert result.exit_code == 4
    assert "127.0.0.1:1" in result.stderr
    assert result.stderr.count("\n") == 1


def test_debug_shows_the_stack_trace(invoke: Invoke) -> None:
    assert "Traceback" in invoke("run", "list", "--debug").stderr
    assert "Traceback" in invoke("--debug", "run", "list").stderr


def test_a_reader_that_goes_away_is_no_error_to_talk_about(elsewhere: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    process = subprocess.run(
        [RUNSTREAM, "completion", "bash"], stdout=writing, stderr=subprocess.PIPE, check=False, timeout=60
    )
    os.close(writing)

    assert process.returncode == ExitCode.PIPE_CLOSED
    assert process.stderr == b""


def test_output_that_the_terminal_cannot_encode_is_escaped(elsewhere: Path) -> None:
    environment = {**os.environ, "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"}
    process = subprocess.run(
        [RUNSTREAM, "completion", "bäsh"], env=environment, capture_output=True, check=False, timeout=60
    )

    assert process.returncode == 2
    assert b"Traceback" not in process.stderr


def test_the_codes_of_signals_are_those_of_shells() -> None:
    assert ExitCode.INTERRUPTED == 128 + signal.SIGINT
    assert ExitCode.PIPE_CLOSED == 128 + signal.SIGPIPE
