"""What the output of a failed script says about why."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream._runner.script_errors import describe_exit, find_python_error, last_lines, read_tail

BEGIN = "Traceback (most recent call last):"


def output_of(script: str) -> str:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def test_the_exception_that_ended_a_program_is_found() -> None:
    error = find_python_error(output_of("print('hello')\nraise ValueError('bad: very')"))

    assert error is not None
    assert (error.exception_type, error.text) == ("ValueError", "bad: very")
    assert error.stack_trace.startswith("Traceback")
    assert error.stack_trace.endswith("ValueError: bad: very\n")


def test_an_exception_without_a_text_is_known_by_its_class() -> None:
    trace = f"{BEGIN}\n  File\nmodule.Odd\n"

    assert find_python_error(trace) == ("Odd", "", trace)


def test_what_led_to_an_exception_belongs_to_its_trace() -> None:
    script = "try:\n    1 / 0\nexcept ZeroDivisionError as error:\n    raise KeyError('a') from error"

    error = find_python_error(f"Traceback (most recent call last):\nOld: one\nother\n{output_of(script)}")

    assert error is not None
    assert error.exception_type == "KeyError"
    assert "ZeroDivisionError" in error.stack_trace
    assert "Old" not in error.stack_trace


def test_a_group_of_exceptions_is_found() -> None:
    error = find_python_error(output_of("raise ExceptionGroup('several', [ValueError('a'), TypeError('b')])"))

    assert error is not None
    assert error.exception_type == "ExceptionGroup"


@pytest.mark.parametrize("text", ["", "hello", BEGIN, f"{BEGIN}\n  File", f"{BEGIN}\n  File\n5 lines\n"])
def test_where_there_is_no_exception_none_is_found(text: str) -> None:
    assert find_python_error(text) is None


@given(st.text())
def test_any_output_can_be_looked_at(text: str) -> None:
    find_python_error(f"Traceback (most recent call last):\n{text}")
    assert len(last_lines(text)) <= 2_000


def test_bytes_that_were_given_back_to_the_disk_are_passed_over(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(bytes(100) + b"the end\xff\n")

    assert read_tail(log) == "the end�\n"
    assert read_tail(tmp_path / "missing") == ""


def test_the_way_a_process_ended_is_told() -> None:
    assert describe_exit(3) == "ended with exit code 3"
    assert describe_exit(-signal.SIGSEGV) == "was killed by SIGSEGV"
    assert "memory" in describe_exit(-signal.SIGKILL)
    assert describe_exit(-99) == "was killed by signal 99"
