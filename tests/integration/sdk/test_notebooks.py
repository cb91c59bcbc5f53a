"""What a notebook prints: a real IPython kernel runs the cells."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from runstream.core import Run

SECONDS = 100

DRIVER = """
import json, sys
from jupyter_client.manager import KernelManager

manager = KernelManager(kernel_name="python3", transport="ipc")
manager.start_kernel(stdout=2)
client = manager.client()
client.start_channels()
client.wait_for_ready(timeout=60)

def play(cell, lines):
    asked, said, is_idle = client.execute(cell), "", False
    while not is_idle or said.count("\\n") < lines:
        message = client.get_iopub_msg(timeout=60)
        if message["parent_header"].get("msg_id") != asked:
            continue
        kind, content = message["msg_type"], message["content"]
        if kind == "stream":
            said += content["text"]
        elif kind == "error":
            said += f"{content['ename']}: {content['evalue']}"
        elif kind == "status" and content["execution_state"] == "idle":
            is_idle = True
    return said

print(json.dumps([play(*cell) for cell in json.loads(sys.argv[1])]))
client.stop_channels()
manager.shutdown_kernel(now=True)
"""

BEGIN = """
import logging, os, subprocess, sys
from runstream.core import Run, Workspace
logging.basicConfig(format="%(message)s", level=logging.INFO, force=True)
run = Run.get(Workspace.get("{ws}"), "{run}")
before = vars(sys.stdout).get("echo")
"""


def play(run: Run, *cells: str, lines: int = 0) -> list[str]:
    """Runs cells after one that opens `run`; returns what each of them showed.

    The first one is waited for until it has shown so many lines: what is not printed by Python comes by a pipe, maybe
    after the kernel said that the cell is done.
    """
    begin = BEGIN.format(ws=run.experiment.workspace.name, run=run.id)
    here = str(Path.cwd())
    all_cells = [(begin, 0), *zip(cells, [lines, *[0] * len(cells)], strict=False)]
    others = {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}  # kernels look for it
    done = subprocess.run(
        [sys.executable, "-c", DRIVER, json.dumps(all_cells)],
        env={**others, "IPYTHONDIR": here, "JUPYTER_RUNTIME_DIR": here, "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    shown: list[str] = json.loads(done.stdout.splitlines()[-1])
    return shown[1:]


def test_what_cells_print_is_recorded_and_shown_in_the_cell(run: Run) -> None:
    child: Any = run.child_run()
    with child.capture_output():
        print("of the child")
    child.complete()

    printed, followed, failed, ended = play(
        run,
        """
recording = run.capture_output()
print("printed")
logging.info("logged")
os.write(1, b"native\\n")
subprocess.run(["echo", "program"], check=True)
""",
        f"status = Run.get(run.experiment.workspace, {child.id!r}).wait_for_completion(show_output=True)",
        "1 / 0",
        """
print("last")
run.complete()
print("after", recording.is_active, vars(sys.stdout).get("echo") is before)
""",
        lines=4,
    )

    assert sorted(printed.splitlines()) == ["logged", "native", "printed", "program"]
    assert "Execution Summary" in followed
    assert failed == "ZeroDivisionError: division by zero"
    assert ended == "last\nafter False True\n"
    text = run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"]
    own = text[: text.index("RunId:")].splitlines()
    assert sorted(own) == ["logged", "native", "printed", "program"]
    assert text.endswith("last\n")
