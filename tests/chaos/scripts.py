"""Scripts that log through the SDK, in processes of their own, until they are killed."""

import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc

from tests.chaos.checker import read_run
from tests.spools import Script, script

LOGGING = """
import os, sys, time
from runstream.core import Run

metric, history, count = sys.argv[1], os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND), int(sys.argv[3])
run = Run.get_context(allow_offline=False)
for number in range(count):
    run.log(metric, float(number))
    os.write(history, b"%d\\n" % number)
    print(number)
"""
"""Logs 0, 1, 2 and so on; after each call it notes that it returned. It is held when nobody reads what it prints."""

FOREVER = sys.maxsize


@dataclass
class Logger:
    """One script and the metric that it alone logs."""

    metric: str
    history: Path
    script: Script

    @property
    def returned(self) -> int:
        """How often `log` returned."""
        return self.history.read_bytes().count(b"\n") if self.history.exists() else 0


class Loggers:
    """The scripts that log to a run, those included that are killed."""

    def __init__(self, run: str, address: str, folder: Path, stack: AsyncExitStack) -> None:
        self._environment = {
            "RUNSTREAM_ADDRESS": address,
            "RUNSTREAM_WORKSPACE": run.split("/")[1],
            "RUNSTREAM_EXPERIMENT": "experiment",
            "RUNSTREAM_RUN_ID": run.split("/")[3],
        }
        self._run = run
        self._folder = folder
        self._stack = stack
        self._all: list[Logger] = []
        self.alive: list[Logger] = []

    async def start(self, count: int = FOREVER) -> Logger:
        """Starts one, and returns when it logs."""
        metric = f"m{len(self._all)}"
        history = self._folder / f"{metric}.history"
        running = script(LOGGING, metric, str(history), str(count), environment=self._environment)
        logger = Logger(metric, history, await self._stack.enter_async_context(running))
        await logger.script.read(1)
        self._all.append(logger)
        self.alive.append(logger)
        return logger

    async def kill(self, logger: Logger) -> None:
        """Kills one with SIGKILL."""
        self.alive.remove(logger)
        await logger.script.kill()

    async def kill_all(self) -> None:
        """Kills all that are alive."""
        for logger in list(self.alive):
            await self.kill(logger)

    async def check(self, channel: grpc.aio.Channel) -> None:
        """Asserts that of each script everything is stored for which `log` returned, once, in order.

        The value that a script was logging when it was killed may be there or not.
        """
        stored = await read_run(channel, self._run)
        for logger in self._all:
            values = stored[logger.metric].doubles
            assert values == [float(number) for number in range(len(values))], logger.metric
            returned = logger.returned
            assert returned <= len(values) <= returned + 1, f"{logger.metric}: {returned} returned, {len(values)} there"


@asynccontextmanager
async def loggers(run: str, address: str, folder: Path) -> AsyncIterator[Loggers]:
    """Scripts that log to a run, none of which outlives the context."""
    async with AsyncExitStack() as stack:
        yield Loggers(run, address, folder, stack)
