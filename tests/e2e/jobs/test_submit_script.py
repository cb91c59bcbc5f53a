"""`runstream run submit-script` and `attach`, as people and programs use them."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runstream.core import Experiment, Run
from tests.conditions import wait_until
from tests.job_sites import RUNSTREAM, SECONDS, Site

SUBMIT = ("run", "submit-script", "-e", "digits")
PAUSE = "import signal\nprint('working', flush=True)\nsignal.pause()\n"


@contextmanager
def submitting(site: Site, exp: Experiment, *arguments: str, **options: Any) -> Iterator["subprocess.Popen[str]"]:
    """A command that submits, and is ended with the context."""
    command = [RUNSTREAM, *SUBMIT, "-w", exp.workspace.name, *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True} | options
    with subprocess.Popen(command, env=site.environment | {"TERM": "dumb"}, **pipes) as process:
        try:
            yield process
        finally:
            process.kill()


def test_what_follows_the_script_belongs_to_it_and_its_output_is_streamed(site: Site, exp: Experiment) -> None:
    Path("train.py").write_text("import sys\nprint(sys.argv[1:])\n")

    with submitting(site, exp, "train.py", "--target", "x", "-e", "y", "[z]") as command:
        out, err = command.communicate(timeout=SECONDS)

    assert (out, command.returncode) == ("['--target', 'x', '-e', 'y', '[z]']\n", 0)
    assert "Execution Summary" in err
    assert "runstream run attach -r digits_" in err
    assert " is Completed after " in err


def test_a_run_that_fails_is_told_by_the_exit_code_and_its_document(site: Site, exp: Experiment) -> None:
    Path("train.py").write_text("print('reading')\nraise SystemExit(3)\n")

    with submitting(site, exp, "-o", "json", "train.py") as command:
        out, err = command.communicate(timeout=SECONDS)

    document = json.loads(out)
    assert command.returncode == 6
    assert "reading" in err
    assert (document["status"], document["script_name"], document["target"]) == ("Failed", "train.py", "local")
    assert document["run_definition"]["script"] == "train.py"
    assert document["queueing_info"] is None


def test_an_asynchronous_submission_returns_the_run_at_once(site: Site, exp: Experiment) -> None:
    Path("train.py").write_text("print('later')\n")

    with submitting(site, exp, "--async", "train.py") as command:
        out, _ = command.communicate(timeout=SECONDS)

    run = Run.get(exp.workspace, json.loads(out)["run_id"])
    assert command.returncode == 0
    assert run.wait_for_completion()["status"] == "Completed"


def test_a_saved_run_configuration_says_how_a_script_is_executed(site: Site, exp: Experiment) -> None:
    from runstream.core import RunConfiguration

    configuration = RunConfiguration()
    configuration.environment.python.user_managed_dependencies = True
    configuration.environment_variables = {"GREETING": "hello"}
    configuration.save(".", "greeting")
    Path("train.py").write_text("import os\nprint(os.environ['GREETING'])\n")

    with submitting(site, exp, "-c", "greeting", "train.py") as command:
        out, err = command.communicate(timeout=SECONDS)

    assert (out, command.returncode) == ("hello\n", 0), err


def test_packages_of_the_command_line_win_over_those_of_the_configuration(site: Site, exp: Experiment) -> None:
    from runstream.core import ComputeTarget, RunConfiguration
    from runstream.core.compute import AmlCompute

    ComputeTarget.create(exp.workspace, "without-agents", AmlCompute.provisioning_configuration())
    configuration = RunConfiguration()
    configuration.environment.python.user_managed_dependencies = True
    configuration.save(".", "mine")
    Path("conda.yml").write_text("dependencies: [python=3.12, {pip: [tiny]}]\n")
    Path("train.py").touch()

    options = ("--async", "--target", "without-agents", "-c", "mine", "-d", "conda.yml")
    with submitting(site, exp, *options, "train.py") as command:
        out, err = command.communicate(timeout=SECONDS)

    python = json.loads(out)["run_definition"]["environment"]["python"]
    Run.get(exp.workspace, json.loads(out)["run_id"]).cancel()
    assert not python["userManagedDependencies"], err
    assert python["condaDependencies"]["dependencies"] == ["python=3.12", {"pip": ["tiny"]}]


def test_ctrl_c_detaches_and_a_second_one_cancels(site: Site, exp: Experiment) -> None:
    Path("train.py").write_text(PAUSE)

    with submitting(site, exp, "train.py") as command:
        assert command.stdout is not None
        assert command.stderr is not None
        assert command.stdout.readline() == "working\n"
        command.send_signal(signal.SIGINT)
        while "Detached" not in (line := command.stderr.readline()):
            assert line
        [run] = exp.get_runs()
        detached = run.get_status()
        command.send_signal(signal.SIGINT)
        _, err = command.communicate(timeout=SECONDS)
    wait_until(lambda: not site.processes(run.id))

    assert detached == "Running"
    assert command.returncode == 130
    assert "canceled" in err
    assert run.get_status() == "Canceled"


def test_a_person_sees_the_log_and_how_the_run_stands(site: Site, exp: Experiment) -> None:
    Path("train.py").write_text("print('epoch 1')\nprint('50 %', end='\\r')\nprint('100 %')\n")
    master, slave = pty.openpty()

    with submitting(site, exp, "train.py", stdout=slave, stderr=slave) as command, os.fdopen(master, "rb", 0) as screen:
        os.close(slave)
        shown = _until_closed(screen)
        command.wait(SECONDS)

    assert command.returncode == 0
    assert "epoch 1" in shown
    assert "100 %" in shown
    assert "Execution Summary" in shown


def _until_closed(screen: Any) -> str:
    parts = []
    try:
        while part := screen.read(65536):
            parts.append(part)
    except OSError:
        """The other side is closed."""
    return b"".join(parts).decode("utf-8", "replace")
