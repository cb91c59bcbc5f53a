"""Processes that log, and the uplink that carries what they log."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import grpc
import pytest

from runstream._spool import RunSpool
from runstream._spool.lock import is_locked
from runstream._spool.places import LOCK_NAME, SPOOL_VARIABLE
from runstream._spool.run_spool import _registry
from runstream.api.logs.v1.log_service_pb2 import ReadLogRequest
from runstream.api.metrics.v1.metrics_service_pb2 import ReadSeriesRequest, SeriesColumns
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from tests import stubs

T = TypeVar("T")

SECONDS = 30.0
LOOK_SECONDS = 0.01


@dataclass(frozen=True)
class Spools:
    """The spools of a test, and the uplinks that carry them."""

    root: Path

    def open(self, run: str, address: str) -> RunSpool:
        """The queue of a run in this process."""
        return RunSpool.open(run, address)

    def left(self) -> list[Path]:
        """The spools that are not carried to their ends."""
        return list(self.root.glob("*/*.spool"))

    async def carried(self) -> None:
        """Waits until all spools are carried to their ends."""
        await until(lambda: not self.left())

    async def uplink(self) -> int:
        """Waits until an uplink lives; its process id."""
        await until(lambda: bool(self.uplinks()))
        return self.uplinks()[0]

    async def no_uplink(self) -> None:
        """Waits until no uplink lives."""
        await until(lambda: not self.uplinks())

    def uplinks(self) -> list[int]:
        """The process ids of the uplinks that live."""
        return [pid for lock in self.root.glob(f"*/{LOCK_NAME}") if (pid := _holder(lock))]

    def kill_uplinks(self) -> None:
        """Kills the uplinks that live."""
        for pid in self.uplinks():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextmanager
def spools_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spools]:
    """Lets this process and those it starts keep their spools in a folder, and ends the uplinks afterwards."""
    monkeypatch.setenv(SPOOL_VARIABLE, str(root))
    spools = Spools(root)
    try:
        yield spools
    finally:
        for spool in _registry.values():
            if spool._writer is not None:
                spool._writer.abandon()
        _registry.clear()
        spools.kill_uplinks()


async def until(condition: Callable[[], bool]) -> None:
    """Waits until a condition holds."""
    async with asyncio.timeout(SECONDS):
        while not condition():  # noqa: ASYNC110 - files of other processes tell nobody
            await asyncio.sleep(LOOK_SECONDS)


class Script:
    """A program in a process of its own."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def line(self) -> str:
        """The next line that it prints."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SECONDS):
            return (await self._process.stdout.readline()).decode().rstrip()

    async def kill(self) -> list[str]:
        """Kills it; the lines that it had printed and nobody had read."""
        self._process.kill()
        return await self.end()

    async def end(self) -> list[str]:
        """Waits until it ends; the lines that nobody had read."""
        async with asyncio.timeout(SECONDS):
            rest, _ = await self._process.communicate()
        return rest.decode().split("\n")[:-1]  # what follows the last newline is half a line


@asynccontextmanager
async def script(code: str, *arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Script]:
    """Runs a program, which is killed at the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", code, *arguments),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield Script(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def columns(channel: grpc.aio.Channel, run: str) -> list[SeriesColumns]:
    """The values of a run as the server hands them out."""
    stream = stubs.metrics(channel).ReadSeries(ReadSeriesRequest(runs=[run]))
    return [response.columns async for response in stream]


async def values(channel: grpc.aio.Channel, run: str, metric: str) -> list[object]:
    """The values of a metric, in order."""
    found = [each for each in await columns(channel, run) if each.metric == metric]
    return [value for each in found for value in values_of(each)]


def values_of(column: SeriesColumns) -> Sequence[object]:
    """The values of a column."""
    kind = column.WhichOneof("values")
    if kind is None or kind == "nulls":
        return [None] * column.nulls.count
    return list(getattr(column, kind).values)


async def log_text(channel: grpc.aio.Channel, run: str, path: str) -> bytes:
    """The text of a log."""
    parts = stubs.logs(channel).ReadLog(ReadLogRequest(run=run, path=path))
    return b"".join([part.data async for part in parts])


async def warnings(channel: grpc.aio.Channel, run: str) -> list[str]:
    """The warnings that a run has."""
    response = await stubs.run_history(channel).GetRun(GetRunRequest(name=run))
    return [warning.message for warning in response.run.warnings]


def _holder(lock: Path) -> int:
    """The process that has an uplink's lock; 0: nobody."""
    with suppress(OSError, ValueError), lock.open("rb") as file:
        return int(lock.read_text()) if is_locked(file.fileno()) else 0
    return 0
