"""What a script that exits leaves behind: everything it logged is stored, and it may end runs while it exits."""

import os
import subprocess
import sys

from runstream.core import Experiment, Run

BEGIN = """
import atexit, sys
from pathlib import Path
from runstream.core import Experiment, Run, Workspace
"""


def script(code: str, *arguments: str, **environment: str) -> str:
    """Runs a script; what it says on stderr."""
    done = subprocess.run(
        [sys.executable, "-c", BEGIN + code, *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ, **environment},
    )
    assert not done.returncode, done.stderr
    return done.stderr


def test_what_a_script_logged_is_stored_when_it_has_exited(run: Run) -> None:
    said = script(
        """
run = Workspace.get(sys.argv[1]).get_run(sys.argv[2])
for i in range(1000): run.log("loss", float(i))
""",
        run.experiment.workspace.name,
        run.id,
    )

    assert run.get_metrics("loss") == {"loss": [float(i) for i in range(1000)]}
    assert "not stored yet" not in said


def test_a_run_can_be_completed_while_the_interpreter_exits(exp: Experiment) -> None:
    script(
        """
run = Experiment(Workspace.get(sys.argv[1]), "digits").start_logging(run_id="leaving", snapshot_directory=None)
Path("outputs/model.txt").write_text("weights")
run.log("loss", 0.5)
atexit.register(run.complete)
""",
        exp.workspace.name,
    )

    run = exp.workspace.get_run("leaving")
    assert run.get_status() == "Completed"
    assert run.get_metrics() == {"loss": 0.5}
    assert "outputs/model.txt" in run.get_file_names()


def test_the_services_may_be_called_for_the_first_time_while_the_interpreter_exits(run: Run) -> None:
    script(
        """
run = Run.get_context()
run.log("loss", 0.5)
atexit.register(run.tag, "left", "yes")
""",
        RUNSTREAM_RUN_ID=run.id,
        RUNSTREAM_WORKSPACE=run.experiment.workspace.name,
        RUNSTREAM_EXPERIMENT=run.experiment.name,
    )

    assert run.get_tags() == {"left": "yes"}
    assert run.get_metrics() == {"loss": 0.5}
