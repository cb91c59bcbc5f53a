"""Section 16: what a process prints and logs as log files of a run."""

import logging
import os
import signal
import subprocess
import sys
import uuid
from pathlib import Path

import pytest

from runstream._channel import loop
from runstream.api.logs.v1.log_service_pb2 import TailLogRequest
from runstream.core import Experiment, Run, RunLogHandler
from runstream.core._log_tail import LogTail
from runstream.core.run import _OfflineRun
from runstream.exceptions import UserErrorException

STANDARD_LOG = "user_logs/std_log.txt"
SECONDS = 60

START = """
import logging, os, signal, subprocess, sys
from runstream.core import Experiment, Run, RunLogHandler, Workspace
run = Run.get(Workspace.get("{ws}"), "{run}")

def forked(work):
    child = os.fork()
    if child == 0:
        work()
        sys.exit(0)
    os.waitpid(child, 0)
"""
IGNORED = "ignore:This process:DeprecationWarning"
"""Newer Pythons warn of forks, which some of these tests are about."""


def play(run: Run, code: str, *, exit_code: int = 0, **environment: str) -> str:
    """Runs a script that has opened `run`, and returns what it showed."""
    start = START.format(ws=run.experiment.workspace.name, run=run.id)
    done = subprocess.run(
        [sys.executable, "-W", IGNORED, "-c", start + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == exit_code, done.stderr
    return done.stdout


def logs(run: Run) -> dict[str, str]:
    """The log files of a run with their texts."""
    files: dict[str, str] = run.get_details_with_logs()["logFiles"]
    return files


def read_to_the_end(run: Run, path: str) -> None:
    """Waits until the uplink has seen that nobody writes a log file any more, and has carried all of it."""

    async def read() -> None:
        async for _ in LogTail(run._connection, TailLogRequest(run=run._record.name, path=path)).responses():
            pass

    loop.run(read())


def outputs() -> list[Path]:
    """What is kept on this machine of what was printed."""
    return list(Path(os.environ["RUNSTREAM_SPOOL_DIR"]).glob("*/*.output"))


def test_what_a_script_prints_is_recorded_when_asked(run: Run) -> None:
    shown = play(
        run,
        """
run.capture_output()
print("python")
os.write(1, b"native\\n")
subprocess.run(["echo", "program"])
run.complete()
print("after the end")
""",
    )

    assert shown == "python\nnative\nprogram\nafter the end\n"
    assert logs(run) == {STANDARD_LOG: "python\nnative\nprogram\n"}
    assert run.get_file_names() == [STANDARD_LOG]


def test_a_run_can_be_started_with_its_output_captured(exp: Experiment, capfd: pytest.CaptureFixture[str]) -> None:
    run = exp.start_logging(snapshot_directory=None, capture_output=True)
    assert run.capture_output() is run.capture_output()
    os.write(1, b"native\n")
    run.flush()
    assert logs(run) == {STANDARD_LOG: "native\n"}

    with run.capture_output():
        os.write(1, b"more\n")
    os.write(1, b"not this\n")
    run.complete()

    assert logs(run) == {STANDARD_LOG: "native\nmore\n"}
    assert capfd.readouterr().out == "native\nmore\nnot this\n"


def test_a_recording_that_begins_again_goes_on_in_the_same_file(exp: Experiment, capfd: object) -> None:
    run = exp.start_logging(snapshot_directory=None)
    for text in (b"one\n", b"two\n"):
        with run.capture_output():
            os.write(1, text)
    run.complete()

    assert logs(run) == {STANDARD_LOG: "one\ntwo\n"}


def test_a_script_that_just_ends_leaves_all_it_printed(run: Run) -> None:
    play(
        run,
        """
run.capture_output()
print("working")
raise ValueError("boom")
""",
        exit_code=1,
    )

    text = logs(run)[STANDARD_LOG]
    assert text.startswith("working\nTraceback")
    assert text.endswith("ValueError: boom\n")
    assert not outputs()


def test_a_killed_script_leaves_all_it_printed(run: Run) -> None:
    play(
        run,
        """
run.capture_output()
for number in range(10_000):
    print("line", number)
os.kill(os.getpid(), signal.SIGKILL)
""",
        exit_code=-signal.SIGKILL,
    )

    read_to_the_end(run, STANDARD_LOG)
    assert logs(run) == {STANDARD_LOG: "".join(f"line {number}\n" for number in range(10_000))}


def test_each_process_has_a_file_of_its_own(run: Run) -> None:
    play(
        run,
        """
run.capture_output()
print("first")
forked(lambda: print("second"))
run.complete()
""",
    )

    assert logs(run) == {STANDARD_LOG: "first\n", "user_logs/std_log_process_01.txt": "second\n"}


def test_the_rank_numbers_the_processes_of_a_job(run: Run) -> None:
    play(run, 'run.capture_output(); print("rank")', RANK="3", WORLD_SIZE="8")

    assert logs(run) == {"user_logs/std_log_process_03.txt": "rank\n"}


def test_processes_without_a_rank_take_the_next_free_number(run: Run) -> None:
    for text in ("one", "two", "three"):
        play(run, f'run.capture_output(); print("{text}")')

    assert logs(run) == {
        STANDARD_LOG: "one\n",
        "user_logs/std_log_process_01.txt": "two\n",
        "user_logs/std_log_process_02.txt": "three\n",
    }


def test_older_names_of_logs_are_understood(run: Run) -> None:
    play(run, 'run.capture_output(); print("zero"); forked(lambda: print("one"))')

    for name in ("70_driver_log.txt", "70_driver_log_0.txt", "70_driver_log_1.txt", "70_driver_log_001.txt"):
        run.download_file(f"azureml-logs/{name}")

    assert {path.name: path.read_text() for path in Path().glob("70_*")} == {
        "70_driver_log.txt": "zero\n",
        "70_driver_log_0.txt": "zero\n",
        "70_driver_log_1.txt": "one\n",
        "70_driver_log_001.txt": "one\n",
    }
    assert run.get_file_names() == [STANDARD_LOG, "user_logs/std_log_process_01.txt"]


def test_output_that_cannot_be_captured_is_a_warning(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    executable, sys.executable = sys.executable, ""
    try:
        recording = run.capture_output()
        print("shown all the same")
    finally:
        sys.executable = executable

    assert not recording.is_active
    assert "What this process prints is not recorded" in caplog.text
    recording.stop()
    run.complete()


def test_records_of_logging_become_a_log_file(run: Run) -> None:
    logger = logging.getLogger(f"test-{uuid.uuid4().hex}")
    logger.propagate = False  # what pytest notes of it could not be reported
    handler = RunLogHandler(run, level=logging.WARNING)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s %(threadName)s"))
    logger.addHandler(handler)

    logger.warning("lr is %s", 0.1)
    logger.info("not this")
    try:
        raise ValueError("boom")
    except ValueError:
        logger.exception("ü\ud800")
    run.flush()
    handler.close()
    logger.warning("closed")
    run.complete()

    text = logs(run)["user_logs/python_log.txt"]
    assert text.startswith("WARNING lr is 0.1 MainThread\nERROR ü\\ud800 MainThread\nTraceback")
    assert text.endswith("ValueError: boom\n")


def test_all_threads_and_forked_processes_log_into_one_file(run: Run) -> None:
    play(
        run,
        """
import threading
logging.basicConfig(level=logging.INFO, handlers=[RunLogHandler(run)])
def work(name):
    for number in range(500):
        logging.info("%s-%d", name, number)
threads = [threading.Thread(target=work, args=(f"thread{index}",)) for index in range(4)]
[thread.start() for thread in threads]
forked(lambda: work("child"))
[thread.join() for thread in threads]
run.complete()
logging.info("after the end")
""",
    )

    assert sorted(logs(run)) == ["user_logs/python_log.txt"]
    (text,) = logs(run).values()
    said = [line.rpartition(" ")[2] for line in text.splitlines()]
    names = ["child", *(f"thread{index}" for index in range(4))]
    for name in names:
        assert [each for each in said if each.startswith(f"{name}-")] == [f"{name}-{n}" for n in range(500)]
    assert len(said) == 2_501
    assert " INFO root: child-0" in text
    assert not outputs()


def test_a_handler_survives_a_kill_and_says_nothing_of_our_own(run: Run) -> None:
    play(
        run,
        """
logging.basicConfig(level=logging.DEBUG, handlers=[RunLogHandler(run, name="mine.log")])
run.log("n" * 10_000, 1)  # refused, which the logger `runstream` says
for number in range(1_000):
    logging.debug("record %d", number)
os.kill(os.getpid(), signal.SIGKILL)
""",
        exit_code=-signal.SIGKILL,
    )

    read_to_the_end(run, "user_logs/mine.log")
    assert [line.rpartition("root: ")[2] for line in logs(run)["user_logs/mine.log"].splitlines()] == [
        f"record {number}" for number in range(1_000)
    ]


@pytest.mark.parametrize("name", ["", "a/b.txt", "..", ".hidden.txt", "plain", None])
def test_a_handler_needs_a_plain_file_name(run: Run, name: object) -> None:
    with pytest.raises(UserErrorException):
        RunLogHandler(run, name=name)  # type: ignore[arg-type]


def test_an_offline_run_takes_all_of_it_and_records_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    run = _OfflineRun()
    with run.capture_output() as recording:
        print("text")
    RunLogHandler(run).emit(logging.makeLogRecord({"msg": "nothing"}))

    assert not recording.is_active
    assert capsys.readouterr().out == "Attempted to capture output\ntext\n"
    assert run.download_logs() == run.get_all_logs() == []
