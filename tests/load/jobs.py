"""Benchmarks of submitted runs: how soon they begin, how soon they end, and how many go through one agent."""

import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from runstream import aio
from runstream._runner.start import MODULE
from runstream.api.jobs.v1 import job_service_pb2 as jobs_api
from runstream.api.jobs.v1.compute_target_pb2 import AgentPool
from runstream.core import ScriptRunConfig
from tests.load.backend import backend
from tests.load.figures import Figure, cost, rate

SAMPLES = 9
CHILDREN = 200
SLOTS = 4
RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
HELLO = "print('hello', flush=True)\n"
PAUSE = "import signal, subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import signal; signal.pause()'])\n"


async def submit() -> AsyncIterator[Figure]:
    """From the call of submit to the first line in the log and to Completed, beside the script alone."""
    async with _project(HELLO) as experiment:
        first: list[float] = []
        completed, alone = [], []
        for number in range(SAMPLES + 1):
            alone.append(_seconds_alone())
            begun = time.perf_counter()
            run = await experiment.submit(_config())
            async for piece in run._output(wait_post_processing=True, raise_on_error=False):
                if isinstance(piece, bytes) and len(first) <= number:
                    first.append(time.perf_counter() - begun)
            completed.append(time.perf_counter() - begun)
            if run.status != "Completed":
                raise RuntimeError(f"a run ended as {run.status}")
    limit = ("python hello.py alone", alone[1:])
    yield cost("jobs.submit.first_line", "s", first[1:], limit, 1.5)
    yield cost("jobs.submit.completed", "s", completed[1:], limit, 2.5)


async def cancel() -> AsyncIterator[Figure]:
    """From the call of cancel until no process of the run is left, beside killing its process group."""
    async with _project(PAUSE + "print('hello', flush=True)\nsignal.pause()\n") as experiment:
        taken, killed = [], []
        for _ in range(SAMPLES):
            run = await experiment.submit(_config())
            async for piece in run._output(wait_post_processing=True, raise_on_error=False):
                if isinstance(piece, bytes):
                    break
            processes = _processes_of(run.id)
            if len(processes) < 2:
                raise RuntimeError("the processes of the run are not there")
            begun = time.perf_counter()
            await run.cancel()
            psutil.wait_procs(processes)
            taken.append(time.perf_counter() - begun)
            psutil.wait_procs(_runners_of(run.id))
            killed.append(_seconds_to_kill())
    yield cost("jobs.cancel", "s", taken, ("kill of the process group", killed), 2.0)


async def children() -> AsyncIterator[Figure]:
    """Submitted children of one parent on one agent, from the first call to the last end, beside the scripts alone."""
    async with _project(HELLO) as experiment:
        rates, alone = [], []
        for number in range(3):
            pool = await _make_pool(experiment, f"pool-{number}")
            parent = await experiment.start_logging(snapshot_directory=None)
            count = CHILDREN if number == 0 else CHILDREN // 10
            with _agent(experiment, pool):
                begun = time.perf_counter()
                runs = [await parent.submit_child(_config(pool)) for _ in range(count)]
                statuses = {(await run.wait_for_completion())["status"] for run in runs}
                rates.append(count / (time.perf_counter() - begun))
            if statuses != {"Completed"}:
                raise RuntimeError(f"children ended as {statuses}")
            await parent.complete()
            alone.append(_scripts_per_second())
    yield rate("jobs.children", "runs/s", rates, (f"python hello.py, {SLOTS} at once", alone), None)


class _project:  # noqa: N801
    """A backend, and an experiment on it, in a folder with one script."""

    def __init__(self, text: str) -> None:
        self._text = text

    async def __aenter__(self) -> aio.Experiment:
        self._backend = backend()
        up, _ = await self._backend.__aenter__()
        self._folder, self._before = TemporaryDirectory(prefix="runstream-bench-"), Path.cwd()
        self._enter()
        os.environ |= {"RUNSTREAM_ADDRESS": up.address, "RUNSTREAM_STATE_DIR": str(up.data.parent / "state")}
        workspace = await aio.Workspace.get()
        return await aio.Experiment.get_or_create(workspace, "bench")

    def _enter(self) -> None:
        os.chdir(self._folder.name)
        Path("hello.py").write_text(self._text)

    async def __aexit__(self, *error: object) -> None:
        os.chdir(self._before)
        await aio.close()
        for name in ("RUNSTREAM_ADDRESS", "RUNSTREAM_STATE_DIR"):
            del os.environ[name]
        self._folder.cleanup()
        await self._backend.__aexit__(None, None, None)


def _config(target: str | None = None) -> ScriptRunConfig:
    config = ScriptRunConfig(".", "hello.py", compute_target=target)
    config.run_config.environment.python.user_managed_dependencies = True
    return config


async def _make_pool(experiment: aio.Experiment, name: str) -> str:
    connection = experiment.workspace._connection()
    target = jobs_api.ComputeTarget(kind=jobs_api.COMPUTE_TARGET_KIND_AGENT_POOL, agent_pool=AgentPool())
    request = jobs_api.CreateComputeTargetRequest(
        parent=experiment.workspace._record.name, compute_target=target, compute_target_id=name
    )
    await connection.call(connection.jobs.CreateComputeTarget, request)
    return name


@contextmanager
def _agent(experiment: aio.Experiment, pool: str) -> Iterator[None]:
    command = [RUNSTREAM, "agent", "start", "-w", experiment.workspace.name, "--target", pool, "--slots", str(SLOTS)]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            yield
        finally:
            process.terminate()


def _processes_of(run_id: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _run_of(process) == run_id]


def _runners_of(run_id: str) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _executes(process, run_id)]


def _executes(process: psutil.Process, run_id: str) -> bool:
    try:
        command = process.cmdline()
    except psutil.Error:
        return False
    return MODULE in command and any(word.endswith(f"/{run_id}") for word in command)


def _run_of(process: psutil.Process) -> str:
    try:
        return process.environ().get("RUNSTREAM_RUN_ID", "")
    except psutil.Error:
        return ""


def _seconds_alone() -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "hello.py"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun


def _seconds_to_kill() -> float:
    process = subprocess.Popen([sys.executable, "-c", "import signal; signal.pause()"])
    begun = time.perf_counter()
    process.kill()
    process.wait()
    return time.perf_counter() - begun


def _scripts_per_second() -> float:
    running: list[subprocess.Popen[bytes]] = []
    begun = time.perf_counter()
    for _ in range(CHILDREN // 10):
        if len(running) == SLOTS:
            running.pop(0).wait()
        running.append(subprocess.Popen([sys.executable, "hello.py"], stdout=subprocess.DEVNULL))
    for process in running:
        process.wait()
    return CHILDREN / 10 / (time.perf_counter() - begun)
