"""Runs that are submitted to this machine, with real runners."""

import asyncio
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from runstream import aio
from runstream.core import Experiment, Run, ScriptRun
from runstream.core._source import store_snapshot, survey_folder
from runstream.exceptions import ActivityFailedException, ExperimentExecutionException, UserErrorException
from tests.barriers import WAIT_AT, Barrier
from tests.conditions import wait_until
from tests.job_sites import RUNSTREAM, SECONDS, Site, await_log, log_of, script

HELLO = """
import os, sys
from runstream.core import Run
run = Run.get_context(allow_offline=False)
run.log("loss", 0.5)
print("hello from", run.id, *sys.argv[1:])
with open("outputs/model.txt", "w") as file:
    file.write("weights")
"""
PAUSE = """
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
print("working", flush=True)
signal.pause()
"""
LATE = """
import contextlib, os, select, sys
with contextlib.suppress(ProcessLookupError):
    select.select([os.pidfd_open(int(sys.argv[1]))], [], [])
print("late words")
"""
"""Waits for the end of the process that its argument names."""


class Counted:
    """How much of a snapshot is sent."""

    size = 0

    def expect(self, size: int) -> None:
        self.size += size

    def advance(self, size: int) -> None:
        """Takes no note."""


def test_a_script_is_executed_and_everything_of_it_is_recorded(
    exp: Experiment, capsys: pytest.CaptureFixture[str]
) -> None:
    for command in (["init", "--quiet"], ["remote", "add", "origin", "https://me:secret@example.org/digits.git"]):
        subprocess.run(["git", *command], check=True)
    run = exp.submit(script(HELLO, "--rate", 0.1), tags={"quality": "first"})
    submitted = run.status
    details = run.wait_for_completion(show_output=True)
    shown = capsys.readouterr().out

    assert isinstance(run, ScriptRun)
    assert run.id.startswith("digits_")
    assert submitted in ("Starting", "Queued", "Preparing", "Running")
    assert f"hello from {run.id} --rate 0.1\n" in shown
    assert "Streaming user_logs/std_log.txt" in shown
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"loss": 0.5}
    assert run.get_tags() == {"quality": "first"}
    assert "outputs/model.txt" in run.get_file_names()
    assert details["target"] == "local"
    assert details["runDefinition"]["script"] == "train.py"
    assert details["runDefinition"]["arguments"] == ["--rate", "0.1"]
    assert details["properties"]["ContentSnapshotId"] == run.get_snapshot_id()
    assert details["properties"]["azureml.git.repository_uri"] == "https://example.org/digits.git"
    run.clean()


def test_an_exception_fails_the_run_and_is_told(exp: Experiment) -> None:
    run = exp.submit(script("print('reading')\nraise ValueError('no data in the file')"))

    with pytest.raises(ActivityFailedException, match="no data in the file"):
        run.wait_for_completion()

    error = run.get_details()["error"]["error"]
    assert run.get_status() == "Failed"
    assert error["code"] == "UserError"
    assert error["debugInfo"]["type"] == "ValueError"
    assert "ValueError: no data in the file" in log_of(run)
    assert run.wait_for_completion(raise_on_error=False)["status"] == "Failed"


def test_a_parent_launches_children_with_arguments_and_waits_for_them(exp: Experiment) -> None:
    Path("child.py").write_text(
        "import sys\nfrom runstream.core import Run\nRun.get_context().log('doubled', 2 * int(sys.argv[1]))\n"
    )
    parent = exp.submit(
        script(
            """
import sys
from runstream.core import Run, ScriptRunConfig
run = Run.get_context()
children = []
for number in (1, 2, 3):
    config = ScriptRunConfig(".", "child.py", arguments=[number])
    config.run_config.environment.python.user_managed_dependencies = True
    config.run_config.environment.python.interpreter_path = sys.executable
    children.append(run.submit_child(config, tags={"number": str(number)}))
for child in children:
    child.wait_for_completion()
run.log("sum", sum(child.get_metrics()["doubled"] for child in children))
"""
        )
    )
    parent.wait_for_completion()

    children = list(parent.get_children())
    assert parent.get_metrics() == {"sum": 12}
    assert {child.get_tags()["number"]: child.get_metrics()["doubled"] for child in children} == {
        "1": 2,
        "2": 4,
        "3": 6,
    }
    assert {child.get_status() for child in children} == {"Completed"}
    assert all(isinstance(child, ScriptRun) and child.parent is not None for child in children)


def test_a_run_that_is_cancelled_later_leaves_no_process(site: Site, exp: Experiment) -> None:
    run = exp.submit(script(PAUSE))
    await_log(run, "working")
    with pytest.raises(UserErrorException, match="has not ended"):
        run.clean()
    run.cancel()
    cancelled = run.get_status()
    wait_until(lambda: not site.processes(run.id))

    assert cancelled == "Canceled"
    assert run.wait_for_completion()["status"] == "Canceled"
    run.cancel()
    assert run.get_status() == "Canceled"


def test_the_time_limit_ends_a_run_and_is_named(site: Site, exp: Experiment) -> None:
    config = script(PAUSE)
    config.run_config.max_run_duration_seconds = 1
    run = exp.submit(config)
    details = run.wait_for_completion(wait_post_processing=True)
    wait_until(lambda: not site.processes(run.id))

    assert details["status"] == "Canceled"
    assert any("max_run_duration" in each["message"] or "limit" in each["message"] for each in details["warnings"])


def test_a_run_goes_on_when_its_submitter_is_killed_and_can_be_attached_to(
    site: Site, exp: Experiment, barrier: Barrier
) -> None:
    script(f"print('began', flush=True)\n{WAIT_AT}print('went on')")
    program = f"""
import sys, signal
from runstream.core import Experiment, ScriptRunConfig, Workspace
config = ScriptRunConfig(".", "train.py", [{str(barrier.path)!r}])
config.run_config.environment.python.user_managed_dependencies = True
run = Experiment(Workspace.get({exp.workspace.name!r}), "digits").submit(config, run_id="survivor")
print("submitted", flush=True)
run.wait_for_completion(show_output=True)
"""
    command = [sys.executable, "-c", program]
    with subprocess.Popen(command, env=site.environment, stdout=subprocess.PIPE, text=True) as submitter:
        assert submitter.stdout is not None
        assert submitter.stdout.readline() == "submitted\n"
        await_log(Run.get(exp.workspace, "survivor"), "began")
        submitter.send_signal(signal.SIGKILL)
    attach = [RUNSTREAM, "run", "attach", "-w", exp.workspace.name, "-r", "survivor"]
    with subprocess.Popen(attach, env=site.environment, stdout=subprocess.PIPE, text=True) as attached:
        assert attached.stdout is not None
        assert attached.stdout.readline() == "began\n"
        barrier.lift()
        rest, _ = attached.communicate(timeout=SECONDS)

    assert (rest, attached.returncode) == ("went on\n", 0)
    assert Run.get(exp.workspace, "survivor").get_status() == "Completed"


def test_what_a_grandchild_prints_after_its_parent_has_ended_is_recorded(exp: Experiment) -> None:
    Path("late.py").write_text(LATE)
    run = exp.submit(
        script(
            "import os, subprocess, sys\n"
            "subprocess.Popen([sys.executable, 'late.py', str(os.getpid())])\n"
            "print('early')\n"
        )
    )
    run.wait_for_completion()

    assert log_of(run) == "early\nlate words\n"


async def test_an_asynchronous_program_submits_several_runs_at_once(exp: Experiment) -> None:
    config = script("import sys; print('number', sys.argv[1])", 7)
    workspace = await aio.Workspace.get(exp.workspace.name)
    experiment = await aio.Experiment.get_or_create(workspace, "digits")

    runs = await asyncio.gather(*(experiment.submit(config, run_id=f"together-{number}") for number in range(2)))
    details = await asyncio.gather(*(run.wait_for_completion() for run in runs))
    sent = Counted()
    again = await store_snapshot(workspace, await survey_folder(workspace, "."), sent)
    await aio.close()

    assert all(isinstance(run, aio.ScriptRun) for run in runs)
    assert [each["status"] for each in details] == ["Completed", "Completed"]
    assert {each["properties"]["ContentSnapshotId"] for each in details} == set(again.values())
    assert sent.size == 0


def test_what_cannot_be_submitted_leaves_no_run(exp: Experiment) -> None:
    taken = exp.start_logging(run_id="taken", snapshot_directory=None)
    taken.complete()
    config = script("pass")
    missing = script("pass")
    missing.script = "absent.py"
    elsewhere = script("pass", target="nowhere")

    with pytest.raises(ExperimentExecutionException, match=r"absent\.py"):
        exp.submit(missing)
    with pytest.raises(UserErrorException, match="taken"):
        exp.submit(config, run_id="taken")
    with pytest.raises(Exception, match="nowhere"):
        exp.submit(elsewhere)

    assert [run.id for run in exp.get_runs()] == ["taken"]
