"""Programs that submit one run each, and what has become of it."""

import random
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field

import psutil

from runstream.core import Workspace
from runstream.exceptions import ServiceException
from tests.barriers import WAIT_AT, Barrier
from tests.conditions import until
from tests.job_sites import Site

WAITING = f"""
import subprocess, sys
barrier, code = sys.argv[1], int(sys.argv[2])
if code == 2:
    own = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
open(barrier + ".began", "w").close()
{WAIT_AT}print("ends with", code)
sys.exit(code % 2)
"""
"""Waits at its barrier. Code 0 and 2 complete, the latter with a process of its own that outlives it; 1 fails."""

SUBMITTING = """
import sys
from runstream.core import Experiment, ScriptRunConfig, Workspace
run_id, target, barrier, code, workspace = sys.argv[1:]
config = ScriptRunConfig(".", "waiting.py", [barrier, code], compute_target=target)
config.run_config.environment.python.user_managed_dependencies = True
experiment = Experiment(Workspace.get(workspace), "chaos")
print("submits", flush=True)
experiment.submit(config, run_id=run_id).wait_for_completion(raise_on_error=False)
"""

TERMINAL = ("Completed", "Failed", "Canceled")


@dataclass
class Submitted:
    """A run, the program that submits it, and what was done to both."""

    site: Site
    workspace: Workspace
    run_id: str
    target: str
    code: int
    barrier: Barrier
    program: "subprocess.Popen[str]" = field(init=False)
    blows: set[str] = field(default_factory=set)

    def start(self) -> None:
        """Starts the program; returns when it is about to submit."""
        arguments = (self.run_id, self.target, str(self.barrier.path), str(self.code), self.workspace.name)
        self.program = subprocess.Popen(
            [sys.executable, "-c", SUBMITTING, *arguments],
            cwd=self.site.folder,
            env=self.site.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self.program.stdout is not None
        assert self.program.stdout.readline() == "submits\n"

    @property
    def has_begun(self) -> bool:
        """Whether the script executes, or did."""
        return self.barrier.path.with_suffix(".began").exists()

    def open(self) -> None:
        """Lets the script end."""
        self.barrier.lift()

    @property
    def status(self) -> str:
        """How the run stands; empty: there is none."""
        try:
            return str(self.workspace.get_run(self.run_id).get_status())
        except ServiceException as error:
            if error.status_code != 404:
                raise
            return ""

    def runners(self) -> list[psutil.Process]:
        """The guard and the runner, in this order, as far as they live."""
        found = [each for each in self.site.processes(self.run_id) if "runstream._runner" in _command(each)]
        return sorted(found, key=lambda each: each.pid)

    async def at(self, moment: str) -> None:
        """Returns at a moment in the life of the run, or when there will be none."""
        moments: dict[str, Callable[[], bool]] = {
            "submitting": lambda: True,
            "starting": lambda: bool(self.runners()) or self.has_begun,
            "running": lambda: self.has_begun,
        }
        await until(lambda: moments[moment]() or self.program.poll() is not None)

    def kill_submitter(self) -> None:
        """Kills the program."""
        self.blows.add("submitter")
        self.program.kill()

    def kill_runner(self, choice: random.Random) -> None:
        """Kills one of the two processes of the runner, or both."""
        if living := self.runners():
            both = [living] if self.target == "local" else []
            victims = choice.choice([living[:1], living[1:], *both]) or living
            self.blows.add("runner" if living[-1] in victims else "guard")
            for victim in victims:
                victim.send_signal(signal.SIGKILL)

    def check(self) -> None:
        """Sees that the run has ended as it had to, after all that was done.

        Without its submitter a run may never have been made, or never been started on its machine. Without its runner
        it may fail. Nothing else changes how it ends.
        """
        own = "Failed" if self.code % 2 else "Completed"
        allowed = {own}
        if "submitter" in self.blows:
            allowed |= {"", "Failed"}
        if "runner" in self.blows:
            allowed |= {"Failed"}
        assert self.status in allowed, (self.run_id, self.status, self.target, self.code, self.blows)

    def close(self) -> None:
        """Ends the program."""
        self.program.kill()
        self.program.communicate()


def _command(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []
