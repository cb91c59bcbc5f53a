"""Scripts that are submitted, and the runners that execute them."""

import asyncio
import os
import signal
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import psutil

from runstream._channel import Connection
from runstream._snapshot.take import take_snapshot
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts
from runstream.api.jobs.v1 import job_pb2
from runstream.api.logs.v1 import log_service_pb2 as logs
from runstream.api.runs.v1 import run_pb2
from tests import stubs
from tests.conditions import SECONDS, until, until_answered
from tests.make_runs import WORKSPACE
from tests.submitted import Submitter

LOG = "user_logs/std_log.txt"
RUNNER = "runstream._runner"

S = run_pb2.RunStatus


@dataclass
class Runner:
    """A guard and the runner that it watches."""

    run: str
    process: asyncio.subprocess.Process

    async def ended(self) -> int:
        """Waits for the end; the exit code."""
        async with asyncio.timeout(SECONDS):
            return await self.process.wait()

    async def kill_all(self) -> list[psutil.Process]:
        """Kills guard and runner at once; returns the processes that the guard had below it."""
        below = self.processes()
        self.process.kill()
        kill(below[0].pid)
        await self.ended()
        return below

    @property
    def pid(self) -> int:
        """The process id of the runner below the guard."""
        return self.processes()[0].pid

    def processes(self) -> list[psutil.Process]:
        """The runner, and the processes of the job."""
        with suppress(psutil.NoSuchProcess):
            return [each for each in _below(psutil.Process(self.process.pid)) if not _is_uplink(each)]
        return []


@dataclass(frozen=True)
class Jobs:
    """Submits scripts to services and has runners execute them."""

    submitter: Submitter
    address: str
    folder: Path
    """Where source folders are."""

    async def submit(self, program: str = "", *, files: dict[str, str] | None = None, **definition: Any) -> str:
        """Submits a script; the name of the run."""
        source = self.folder / f"source-{uuid.uuid4().hex}"
        for name, text in {"train.py": program, **(files or {})}.items():
            (source / name).parent.mkdir(parents=True, exist_ok=True)
            (source / name).write_text(text)
        snapshot = await take_snapshot(Connection.to(self.address), WORKSPACE, source)
        definition = {"snapshot": f"{WORKSPACE}/snapshots/{snapshot}", **definition}
        if "command" not in definition:
            definition.setdefault("script", "train.py")
        submitted = await self.submitter.submit(job_pb2.JobDefinition(**definition))
        return submitted.run.name

    async def start(self, run: str, *arguments: str, address: str = "", **variables: str) -> Runner:
        """Starts a runner."""
        command = [sys.executable, "-m", RUNNER, "--run", run, "--address", address or self.address, *arguments]
        process = await asyncio.create_subprocess_exec(*command, env={**os.environ, **variables})
        return Runner(run, process)

    async def execute(self, program: str = "", **definition: Any) -> run_pb2.Run:
        """Submits a script and has it executed; the run as it is then."""
        runner = await self.start(await self.submit(program, **definition))
        await runner.ended()
        return await self.run(runner.run)

    async def run(self, name: str) -> run_pb2.Run:
        """A run as it is now."""
        return await self.submitter.run(name)

    async def entered(self, run: str, status: "run_pb2.RunStatus.ValueType") -> None:
        """Waits until a run has a status, of which its runner tells while it goes on."""

        async def has_it() -> bool:
            return (await self.run(run)).status == status

        await until_answered(has_it)

    async def printed(self, run: str, text: str, path: str = LOG) -> None:
        """Waits until a text can be read in a log file."""

        async def is_there() -> bool:
            return text in await self.log(run, path)

        await until_answered(is_there)

    async def log(self, run: str, path: str = LOG) -> str:
        """What a log file has now; nothing if there is none."""
        try:
            request = logs.ReadLogRequest(run=run, path=path)
            parts = [part.data async for part in stubs.logs(self.channel).ReadLog(request)]
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                raise
            return ""
        return b"".join(parts).decode()

    async def logs(self, run: str) -> list[str]:
        """The log files of a run."""
        response = await stubs.logs(self.channel).ListLogs(logs.ListLogsRequest(parent=run))
        return [log.path for log in response.logs]

    async def files(self, run: str) -> dict[str, bytes]:
        """The files of a run."""
        stub = stubs.artifacts(self.channel)
        listed = await stub.ListArtifacts(artifacts.ListArtifactsRequest(parent=run))
        found = {}
        for each in listed.artifacts:
            request = artifacts.ReadArtifactRequest(run=run, path=each.path)
            found[each.path] = b"".join([part.data async for part in stub.ReadArtifact(request)])
        return found

    @property
    def channel(self) -> grpc.aio.Channel:
        return self.submitter.channel


class Gate:
    """What a script waits at: it reads the file to its end."""

    def __init__(self, folder: Path) -> None:
        self.path = str(folder / "gate")
        os.mkfifo(self.path)

    def open(self, text: str = "") -> None:
        """Lets the script pass."""
        Path(self.path).write_text(text)


async def gone(processes: list[psutil.Process]) -> None:
    """Waits until processes have ended."""
    await until(lambda: not any(_lives(each) for each in processes))


def kill(pid: int) -> None:
    """Kills a process."""
    os.kill(pid, signal.SIGKILL)


def _below(process: psutil.Process) -> Iterator[psutil.Process]:
    yield from process.children(recursive=True)


def _is_uplink(process: psutil.Process) -> bool:
    try:
        return "runstream._uplink" in process.cmdline()
    except psutil.NoSuchProcess:
        return True


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
