"""Runners, agents, submitters and the server are killed: every run ends as it has to, and no process is left."""

import asyncio
import random
import signal
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from runstream._channel import loop
from runstream.core import Workspace
from runstream_server.config import Config, JobsConfig
from tests.barriers import barrier_at
from tests.chaos.scale import SCALE
from tests.chaos.submitters import TERMINAL, WAITING, Submitted
from tests.conditions import SECONDS, until, until_answered
from tests.conftest import forget_settings, short_folder
from tests.job_sites import AgentProgram, Site, agent, make_pool
from tests.server_process import ServerProcess

RUNS = 4 if SCALE.factor == 1 else 24
MOMENTS = ("submitting", "starting", "running")
PATIENCE = JobsConfig(lease_seconds=6, start_seconds=30, lost_seconds=3, report_seconds=2)
"""How long the server waits for whom."""


class World:
    """All that can be killed, and what it is for."""

    def __init__(self, server: ServerProcess, site: Site, workspace: Workspace, choice: random.Random) -> None:
        self.server, self.site, self.workspace, self.choice = server, site, workspace, choice
        self.pool = make_pool(workspace)
        self.runs: list[Submitted] = []
        self.agents: list[AgentProgram] = []
        self._stack = ExitStack()

    def start_agent(self) -> None:
        """Starts an agent, always of the same name."""
        arguments = ("--name", "only", "--slots", str(RUNS))
        self.agents.append(self._stack.enter_context(agent(self.site, self.workspace, self.pool, *arguments)))

    def submit(self) -> Submitted:
        """Starts a program that submits a run."""
        number = len(self.runs)
        target, code = self.choice.choice(("local", self.pool)), self.choice.randrange(3)
        barrier = self._stack.enter_context(barrier_at(self.site.folder / f"barrier-{number}"))
        run = Submitted(self.site, self.workspace, f"run-{number}", target, code, barrier)
        run.start()
        self.runs.append(run)
        return run

    async def kill_server(self, _: Submitted) -> None:
        """Kills the server, and starts another one."""
        await self.server.kill()
        await self.server.start()

    async def kill_agent(self, _: Submitted) -> None:
        """Kills the agent, and starts another one."""
        await asyncio.to_thread(self.agents[-1].end, signal.SIGKILL)
        await asyncio.to_thread(self.start_agent)

    async def kill_runner(self, run: Submitted) -> None:
        """Kills the runner, its guard, or both."""
        run.kill_runner(self.choice)

    async def kill_submitter(self, run: Submitted) -> None:
        """Kills the program that submits."""
        run.kill_submitter()

    def blows(self) -> list[Callable[[Submitted], Awaitable[None]]]:
        """What can be done, each once, in an order of chance."""
        kinds = [self.kill_server, self.kill_agent, self.kill_runner, self.kill_submitter]
        return self.choice.sample(kinds, len(kinds))

    def close(self) -> None:
        """Ends whatever is left."""
        for run in self.runs:
            run.open()
            run.close()
        self._stack.close()
        for process in self.site.processes():
            process.kill()


@contextmanager
def user(address: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    """A user of a server, in a folder of their own."""
    site = Site(folder, address)
    forget_settings(monkeypatch, site.settings)
    (folder / "waiting.py").write_text(WAITING)
    (folder / ".amlignore").write_text("state\nbarrier-*\n")
    yield site
    loop.stop()


@pytest.mark.parametrize("seed", SCALE.seeds)
async def test_every_run_ends_as_it_has_to_whoever_is_killed(
    config: Config, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    choice = random.Random(seed)
    server = ServerProcess(replace(config, jobs=PATIENCE))
    async with server.running():
        with short_folder() as folder, user(server.address, folder, monkeypatch) as site:
            workspace = await asyncio.to_thread(Workspace.create, f"ws-{uuid.uuid4().hex[:24]}")
            world = await asyncio.to_thread(World, server, site, workspace, choice)
            try:
                await asyncio.to_thread(world.start_agent)
                await _play(world)
                await _settle(world)
            finally:
                await asyncio.to_thread(world.close)


async def _play(world: World) -> None:
    """Has runs submitted one after the other, each with a blow at a moment of its life."""
    blows: list[Callable[[Submitted], Awaitable[None]]] = []
    for _ in range(RUNS):
        run = await asyncio.to_thread(world.submit)
        blows = blows or world.blows()
        await run.at(world.choice.choice(MOMENTS))
        await blows.pop()(run)
        run.open()


async def _settle(world: World) -> None:
    for run in world.runs:

        async def has_ended(run: Submitted = run) -> bool:
            status = await asyncio.to_thread(lambda: run.status)
            return status in TERMINAL or (not status and run.program.poll() is not None)

        try:
            await until_answered(has_ended)
        except TimeoutError:
            said = "".join(line for each in world.agents for line in each.lines)
            pytest.fail(
                f"{run.run_id} is {run.status} after {SECONDS} s: {run.target}, {run.code}, {run.blows}\n{said}"
            )
        await asyncio.to_thread(run.check)
    await until(lambda: not world.site.processes())
