"""Runs that are submitted by real programs, executed by real runners, and offered to real agents."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from runstream._channel import loop
from runstream._runner.start import MODULE
from runstream.api.jobs.v1 import job_service_pb2 as jobs_api
from runstream.api.jobs.v1.compute_target_pb2 import AgentPool
from runstream.core import Run, ScriptRunConfig, Workspace

SECONDS = 90
MODULE_OF_UPLINK = "runstream._uplink"
RUNSTREAM = str(Path(sys.executable).with_name("runstream"))


@dataclass(frozen=True)
class Site:
    """A backend on a folder of its own, and the state of its user."""

    folder: Path
    address: str

    @property
    def state(self) -> Path:
        """Where the state of its user is."""
        return self.folder / "state"

    @property
    def settings(self) -> dict[str, str]:
        """What the programs of its user are told of it."""
        return {"RUNSTREAM_ADDRESS": self.address, "RUNSTREAM_STATE_DIR": str(self.state)}

    @property
    def environment(self) -> dict[str, str]:
        """That of the programs of its user."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(("RUNSTREAM_", "AZUREML_"))}
        return others | self.settings

    def processes(self, run_id: str = "") -> list[psutil.Process]:
        """The runners and processes of jobs, of a run or of all; not the backend and the uplinks."""
        return [process for process in psutil.process_iter() if self._is_of_job(process, run_id)]

    def _is_of_job(self, process: psutil.Process, run_id: str) -> bool:
        try:
            command, environment = process.cmdline(), process.environ()
            is_over = process.status() == psutil.STATUS_ZOMBIE
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False
        if is_over or MODULE_OF_UPLINK in command or environment.get("RUNSTREAM_STATE_DIR") != str(self.state):
            return False
        runs = [name.rpartition("/")[2] for name in command if "/runs/" in name and MODULE in command]
        runs.append(environment.get("RUNSTREAM_RUN_ID", ""))
        return run_id in runs if run_id else any(runs)


def script(text: str, *arguments: object, target: str | None = None, name: str = "train.py") -> ScriptRunConfig:
    """A script in the current folder, executed by this interpreter."""
    Path(name).write_text(text, "utf-8")
    config = ScriptRunConfig(".", name, list(arguments), compute_target=target)
    config.run_config.environment.python.user_managed_dependencies = True
    config.run_config.environment.python.interpreter_path = sys.executable
    return config


def log_of(run: Run) -> str:
    """What the script of a run has printed."""
    return str(run.get_details_with_logs()["logFiles"]["user_logs/std_log.txt"])


def await_log(run: Run, text: str) -> None:
    """Waits until a script has printed a text, and it is stored."""

    async def follow() -> None:
        seen = ""
        async with asyncio.timeout(SECONDS):
            async for piece in run._output(wait_post_processing=True, raise_on_error=False):
                seen += piece.decode() if isinstance(piece, bytes) else ""
                if text in seen:
                    return
        raise AssertionError(f"{text!r} is not in {seen!r}")

    loop.run(follow())


def make_pool(ws: Workspace, name: str = "pool") -> str:
    """Makes a compute target that consists of agents; its name."""

    async def create() -> None:
        connection = ws._connection()
        target = jobs_api.ComputeTarget(kind=jobs_api.COMPUTE_TARGET_KIND_AGENT_POOL, agent_pool=AgentPool())
        request = jobs_api.CreateComputeTargetRequest(
            parent=ws._record.name, compute_target=target, compute_target_id=name
        )
        await connection.call(connection.jobs.CreateComputeTarget, request)

    loop.run(create())
    return name


@dataclass
class AgentProgram:
    """An agent in a process of its own."""

    process: "subprocess.Popen[str]"
    lines: list[str] = field(default_factory=list)
    came: threading.Condition = field(default_factory=threading.Condition)

    def read(self) -> None:
        """Takes in all that it says."""
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self.came:
                self.lines.append(line)
                self.came.notify_all()

    def wait_said(self, text: str) -> None:
        """Waits until it has said a text."""
        with self.came:
            said = self.came.wait_for(lambda: any(text in line for line in self.lines), SECONDS)
        assert said, "".join(self.lines)

    def end(self, number: signal.Signals) -> int:
        """Sends it a signal and waits for its end; the exit code."""
        self.process.send_signal(number)
        return self.process.wait(SECONDS)


@contextmanager
def agent(site: Site, ws: Workspace, target: str, *arguments: str, **variables: str) -> Iterator[AgentProgram]:
    """An agent of a compute target, connected; it does not outlive the context."""
    command = [RUNSTREAM, "agent", "start", "-w", ws.name, "--target", target, *arguments]
    with subprocess.Popen(command, env=site.environment | variables, stderr=subprocess.PIPE, text=True) as process:
        program = AgentProgram(process)
        reader = threading.Thread(target=program.read)
        reader.start()
        try:
            program.wait_said("connected as")
            yield program
        finally:
            process.kill()
            reader.join(SECONDS)
