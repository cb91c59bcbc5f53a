"""Processes forked from one that has used the SDK. Each test is a script of its own, so that it is really forked."""

import subprocess
import sys

import pytest

from runstream.core import Run, Workspace

START = """
import os, sys, multiprocessing
from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import ServiceException

ws = Workspace.get("{ws}")
run = Run.get(ws, "{run}")

def forked(work):
    child = os.fork()
    if child:
        assert os.waitpid(child, 0) == (child, 0)
        return
    work()
    sys.exit(0)
"""


def play(run: Run, script: str) -> str:
    """Runs a script that has opened `run`, and returns what it printed."""
    code = START.format(ws=run.experiment.workspace.name, run=run.id) + script
    ignored = "ignore:This process:DeprecationWarning"  # newer Pythons warn of forks, which these tests are about
    done = subprocess.run(
        [sys.executable, "-W", "default", "-W", ignored, "-c", code],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_a_forked_child_labels_logs_and_has_children(run: Run) -> None:
    out = play(
        run,
        """
def work():
    run.tag("forked", "1")
    with run.child_run("below") as child:
        child.log("loss", 0.5)
    print(child.id, child.get_status(), child.get_metrics())

forked(work)
run.tag("parent", "1")
print(len(list(run.get_children())))
""",
    )

    (child,) = run.get_children()
    assert out.splitlines() == [f"{child.id} Completed {{'loss': 0.5}}", "1"]
    assert run.get_tags() == {"forked": "1", "parent": "1"}


def test_a_pool_of_forked_workers_changes_one_run(run: Run) -> None:
    play(
        run,
        """
def work(number):
    run.tag(f"worker {number}")
    return run.get_status()

with multiprocessing.get_context("fork").Pool(2) as pool:
    assert pool.map(work, range(4)) == ["Running"] * 4
""",
    )

    assert sorted(run.get_tags()) == [f"worker {number}" for number in range(4)]


def test_errors_and_streams_reach_a_forked_child(run: Run) -> None:
    child = run.child_run()

    out = play(
        run,
        f"""
def work():
    try:
        Run.get(ws, "nowhere")
    except ServiceException as error:
        print(error.status_code, error.reason, error.metadata["run"].endswith("/nowhere"))
    child = Run.get(ws, "{child.id}")
    child.complete()
    print(child.wait_for_completion()["status"])

forked(work)
""",
    )

    assert out.splitlines() == ["404 RUN_NOT_FOUND True", "Completed"]


def test_a_wait_in_a_forked_child_ends_with_the_run(run: Run) -> None:
    out = play(
        run,
        """
ready, told = os.pipe()

def work():
    from runstream.core._run.watching import WatchCalls
    changes = WatchCalls._changes
    def watch_and_tell(self):
        os.write(told, b"1")
        return changes(self)
    WatchCalls._changes = watch_and_tell
    print(run.wait_for_completion()["status"])

child = os.fork()
if child == 0:
    work()
    sys.exit(0)
os.read(ready, 1)
run.complete()
assert os.waitpid(child, 0) == (child, 0)
""",
    )

    assert out == "Completed\n"


def test_a_child_of_a_forked_child_has_calls_of_its_own(run: Run) -> None:
    play(
        run,
        """
def work():
    run.tag("child")
    forked(lambda: run.tag("grandchild"))
    run.tag("child again")

forked(work)
""",
    )

    assert sorted(run.get_tags()) == ["child", "child again", "grandchild"]


def test_a_forked_child_does_not_destroy_channels_of_its_parent_even_when_it_ends(run: Run) -> None:
    out = play(
        run,
        """
from runstream._channel import loop
from runstream._channel.connection import Connection

class Destroyed:
    def __del__(self, write=os.write, pid=os.getpid):
        write(1, f"destroyed in {pid()}".encode())

async def watch():
    Connection.to(os.environ["RUNSTREAM_ADDRESS"]).channel.destroyed = Destroyed()

loop.run(watch())
forked(lambda: run.tag("child"))
assert run.get_tags() == {"child": None}
print("parent", os.getpid(), flush=True)
""",
    )

    parent = out.split()[1]
    assert out in (f"parent {parent}\n", f"parent {parent}\ndestroyed in {parent}")


def test_a_fork_before_the_first_call_needs_no_relay(ws: Workspace, run: Run) -> None:
    code = f"""
import os, sys
from runstream.core import Run, Workspace
child = os.fork()
run = Run.get(Workspace.get("{ws.name}"), "{run.id}")
run.tag("child" if child == 0 else "parent")
assert "runstream._channel.relay" not in sys.modules
from runstream._channel.forked import is_forked
assert not is_forked()
if child:
    assert os.waitpid(child, 0) == (child, 0)
"""
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)

    assert sorted(run.get_tags()) == ["child", "parent"]


def test_a_relay_ends_by_itself_when_its_process_does(run: Run) -> None:
    out = play(
        run,
        """
import subprocess
from runstream._channel import loop

def work():
    started = []
    real = subprocess.Popen
    subprocess.Popen = lambda *args, **options: started.append(real(*args, **options)) or started[-1]
    run.tag("a")
    loop.stop()
    print([relay.returncode for relay in started])

forked(work)
""",
    )

    assert out == "[0]\n"


@pytest.mark.parametrize("how", ["os._exit(0)", "os.kill(os.getpid(), 9)"])
def test_a_relay_ends_with_the_child_it_serves(run: Run, how: str) -> None:
    play(
        run,
        f"""
ends, held = os.pipe()
os.set_inheritable(held, True)
child = os.fork()
if child == 0:
    import subprocess
    real = subprocess.Popen
    subprocess.Popen = lambda *args, **options: real(*args, **options, pass_fds=(held,))
    run.tag("a")
    {how}
os.close(held)
os.waitpid(child, 0)
assert os.read(ends, 1) == b""  # once nobody holds the other end any more: neither the child nor its relay
""",
    )


def test_services_that_are_away_are_an_error_in_a_forked_child_too(run: Run) -> None:
    out = play(
        run,
        """
def work():
    os.environ["RUNSTREAM_ADDRESS"] = "127.0.0.1:9"
    try:
        Workspace.get()
    except ServiceException as error:
        print(error.reason)

forked(work)
""",
    )

    assert out == "UNREACHABLE\n"
