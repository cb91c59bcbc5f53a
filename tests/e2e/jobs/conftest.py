"""A whole backend, the SDK on it as a script uses it, and agents as people start them."""

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil
import pytest

from runstream._channel import loop
from runstream.api.jobs.v1 import job_service_pb2 as jobs_api
from runstream.api.jobs.v1.compute_target_pb2 import AgentPool
from runstream.core import Experiment, Run, ScriptRunConfig, Workspace
from runstream_server.embedded.state import read_state
from tests.conditions import wait_until
from tests.conftest import quick_place

SECONDS = 90
RUNSTREAM = str(Path(sys.executable).with_name("runstream"))


@dataclass(frozen=True)
class Site:
    """A backend on a folder of its own, and the state of its user."""

    folder: Path
    address: str

    @property
    def environment(self) -> dict[str, str]:
        """That of the programs of its user."""
        others = {name: value for name, value in os.environ.items() if not name.startswith(("RUNSTREAM_", "AZUREML_"))}
        return others | {"RUNSTREAM_ADDRESS": self.address, "RUNSTREAM_STATE_DIR": str(self.folder / "state")}

    def processes(self, word: str = "") -> list[psutil.Process]:
        """The runners and processes of jobs, with a word in their command lines; not the backend and the uplinks."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ", "status"]):
            info: dict[str, Any] = process.info
            if info["status"] == psutil.STATUS_ZOMBIE or "_uplink" in " ".join(info["cmdline"] or ()):
                continue
            is_of_job = (info["environ"] or {}).get("RUNSTREAM_RUN_ID") or "runstream._runner" in (
                info["cmdline"] or ()
            )
            is_here = (info["environ"] or {}).get("RUNSTREAM_STATE_DIR") == str(self.folder / "state")
            if is_of_job and is_here and word in " ".join(info["cmdline"] or ()):
                found.append(process)
        return found


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """A backend of these tests. At their end nothing of what they submitted is left."""
    folder = Path(mkdtemp(prefix="rs-", dir=quick_place()))
    environment = {**os.environ, "RUNSTREAM_STATE_DIR": str(folder / "state")}
    command = [RUNSTREAM, "up", "--data", str(folder / "data"), "--port", "0"]
    site = None
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: bool(read_state(folder / "state" / "up.json")) or process.poll() is not None)
            site = Site(folder, str(read_state(folder / "state" / "up.json")["address"]))
            yield site
            wait_until(lambda: not site.processes())
        finally:
            loop.stop()
            for left in site.processes() if site else ():
                left.kill()
            process.send_signal(signal.SIGINT)
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(autouse=True)
def project(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a script of this test's own, which is the current one, of a user of the backend."""
    for name in [name for name in os.environ if name.startswith(("RUNSTREAM_", "AZUREML_"))]:
        monkeypatch.delenv(name)
    for name, value in site.environment.items():
        if name.startswith("RUNSTREAM_"):
            monkeypatch.setenv(name, value)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ws(project: Path) -> Workspace:
    """A workspace of this test's own."""
    return Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")


@pytest.fixture
def exp(ws: Workspace) -> Experiment:
    """An experiment without runs."""
    return Experiment(ws, "digits")


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
