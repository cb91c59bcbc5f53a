"""The command line as its users call it: in a process of its own, or in this one, which is much quicker."""

import asyncio
import json
import os
import signal
import sys
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from click.testing import CliRunner

from runstream._cli.program import program
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.experiment_pb2 import Experiment
from runstream.api.runs.v1.run_pb2 import Run
from runstream.api.runs.v1.workspace_pb2 import Tag

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
SECONDS = 60

MakeRun = Callable[..., Awaitable[Run]]


@dataclass(frozen=True)
class Outcome:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def result(self) -> Any:
        """What it printed as JSON."""
        return json.loads(self.out)


class Cli(ABC):
    """The command line of a user of the services at an address, in a folder. Calls at the same time are welcome."""

    def __init__(self, folder: Path, address: str) -> None:
        self.folder = folder
        self.environment = {"RUNSTREAM_ADDRESS": address, "RUNSTREAM_STATE_DIR": str(folder / "state")}

    async def __call__(self, *arguments: str, code: int = 0) -> Outcome:
        """Runs a command to its end, which must be with this code and without a stack trace."""
        async with asyncio.timeout(SECONDS):
            outcome = await self.run(*arguments)
        assert outcome.code == code, outcome
        assert "Traceback" not in outcome.err, outcome
        return outcome

    @abstractmethod
    async def run(self, *arguments: str) -> Outcome:
        """Runs a command to its end."""


class Going:
    """A command that goes on."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line of its stdout, as soon as it is there; what is no UTF-8 comes as surrogates."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            return (await self._process.stdout.readline()).decode(errors="surrogateescape")

    def interrupt(self) -> None:
        """Does what Ctrl-C does."""
        self._process.send_signal(signal.SIGINT)

    async def end(self) -> Outcome:
        """Waits for its end; of its stdout what is left."""
        async with asyncio.timeout(SECONDS):
            out, err = await self._process.communicate()
        return Outcome(cast(int, self._process.returncode), (out or b"").decode(errors="surrogateescape"), err.decode())


class ProcessCli(Cli):
    """In processes of its own."""

    async def run(self, *arguments: str) -> Outcome:
        async with self.going(*arguments) as command:
            return await command.end()

    @asynccontextmanager
    async def going(self, *arguments: str, stdout: int = asyncio.subprocess.PIPE) -> AsyncIterator["Going"]:
        """Starts a command, which does not outlive the context."""
        process = await self._start(arguments, stdout)
        try:
            yield Going(process)
        finally:
            if process.returncode is None:
                process.kill()
                await process.communicate()

    async def _start(self, arguments: tuple[str, ...], stdout: int) -> asyncio.subprocess.Process:
        others = {key: value for key, value in os.environ.items() if not key.startswith("RUNSTREAM_")}
        return await asyncio.create_subprocess_exec(
            *(RUNSTREAM, *arguments),
            cwd=self.folder,
            env={**others, **self.environment},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
        )


class InProcessCli(Cli):
    """In this process, in a thread, one command after the other."""

    def __init__(self, folder: Path, address: str) -> None:
        super().__init__(folder, address)
        self._free = asyncio.Lock()
        self.stdin = ""
        """What commands read."""

    async def run(self, *arguments: str) -> Outcome:
        async with self._free:
            return await asyncio.to_thread(self._run, arguments)

    def _run(self, arguments: tuple[str, ...]) -> Outcome:
        environment = {"RUNSTREAM_ADDRESS": None, **self.environment}
        before = Path.cwd()
        os.chdir(self.folder)
        try:
            result = CliRunner(env=environment).invoke(program, arguments, self.stdin, prog_name="runstream")
        finally:
            os.chdir(before)
        return Outcome(result.exit_code, result.stdout, result.stderr)


async def make_default_workspace(history: "RunHistoryServiceAsyncStub") -> None:
    """Makes the workspace `default`, as `runstream up` does."""
    await history.CreateWorkspace(api.CreateWorkspaceRequest(workspace_id="default", return_existing=True))


def run_maker(history: "RunHistoryServiceAsyncStub") -> MakeRun:
    """Makes running runs in the workspace `default`: an id, an experiment, a parent's id, tags, and fields of Run."""

    async def make(run_id: str, experiment: str = "digits", **fields: Any) -> Run:
        fields["tags"] = [Tag(key=key, value=value) for key, value in fields.get("tags", {}).items()]
        if "parent" in fields:
            fields["parent"] = f"workspaces/default/runs/{fields['parent']}"
        else:
            fields["experiment"] = await _experiment(history, experiment)
        request = api.CreateRunRequest(parent="workspaces/default", run=Run(**fields), run_id=run_id, start=True)
        return (await history.CreateRun(request)).run

    return make


async def _experiment(history: "RunHistoryServiceAsyncStub", name: str) -> str:
    request = api.CreateExperimentRequest(
        parent="workspaces/default", experiment=Experiment(display_name=name), return_existing=True
    )
    return (await history.CreateExperiment(request)).experiment.name
