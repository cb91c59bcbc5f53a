"""Processes that log, and the uplink that carries what they log."""

import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import grpc
import psutil
import pytest

from runstream._spool import RunSpool
from runstream._spool.leaving import EXIT_VARIABLE
from runstream._spool.lock import is_locked
from runstream._spool.places import LOCK_NAME, SPOOL_VARIABLE
from runstream._spool.run_spool import _registry
from runstream.api.logs.v1.log_service_pb2 import ReadLogRequest
from runstream.api.metrics.v1.metrics_service_pb2 import ReadSeriesRequest, SeriesColumns, TailSeriesRequest
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
        found: list[int] = []

        def finds() -> bool:
            found.extend(self.uplinks())
            return bool(found)

        await until(finds)
        return found[0]

    def kill_uplinks(self) -> None:
        """Kills the uplinks, those included that are just starting and have not said who they are."""
        deadline = time.monotonic() + SECONDS
        while any(_is_held(lock) for lock in self.root.glob(f"*/{LOCK_NAME}")) and time.monotonic() < deadline:
            for pid in self.uplinks():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            time.sleep(LOOK_SECONDS)

    async def no_uplink(self) -> None:
        """Waits until no uplink lives."""
        await until(lambda: not self.uplinks())

    def uplinks(self) -> list[int]:
        """The process ids of the uplinks that live."""
        return [pid for lock in self.root.glob(f"*/{LOCK_NAME}") if (pid := _holder(lock))]

    async def kill_uplink(self) -> int:
        """Waits until an uplink lives and kills it; its process id."""
        killed = await self.uplink()
        os.kill(killed, signal.SIGKILL)
        await until(lambda: killed not in self.uplinks())
        return killed


@contextmanager
def spools_in(root: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Spools]:
    """Lets this process and those it starts keep their spools in a folder, and ends the uplinks afterwards."""
    monkeypatch.setenv(SPOOL_VARIABLE, str(root))
    monkeypatch.setenv(EXIT_VARIABLE, "0")
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
    """A program in a process of its own. It is held when it is some thousand lines ahead of who reads them."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.last_line = ""
        """The last line that was read."""

    async def read(self, count: int) -> None:
        """Reads lines that it prints."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            self._take(line)
            count -= 1
            if not count:
                return

    async def beside(self, work: Awaitable[T]) -> T:
        """What some work returns; meanwhile it may print whatever it likes."""
        return await _while(self.read(-1), work)

    async def step(self, count: int = 1) -> None:
        """Lets one that takes a step for each line it reads, and prints a line then, take so many."""
        await self.say("\n" * (count - 1))
        await self.read(count)

    async def stepping(self, work: Awaitable[T]) -> T:
        """What some work returns; meanwhile such a program takes one step after the other.

        It takes a hundred a second at most: what is waited for needs the processor, most of all what was killed and
        starts again.
        """
        return await _while(self._step_forever(), work)

    async def _step_forever(self) -> None:
        while True:
            await self.step()
            await asyncio.sleep(LOOK_SECONDS)

    async def say(self, line: str) -> None:
        """Gives it a line to read."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{line}\n".encode())
        await self._process.stdin.drain()

    def say_no_more(self) -> None:
        """Lets it read to the end of what it is given."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def signal(self, number: signal.Signals) -> None:
        """Sends it a signal."""
        self._process.send_signal(number)

    async def kill(self) -> None:
        """Kills it and reads what it had printed."""
        self._process.kill()
        await self.end()

    async def kill_amid(self, steps: int, *, after: int) -> None:
        """Gives it so many steps to take, kills it when it has taken some, and reads what it had printed."""
        await self.say("\n" * steps)
        await self.read(after)
        await self.kill()

    async def end(self) -> None:
        """Reads to the end of what it prints."""
        async with asyncio.timeout(SECONDS):
            await self.read(-1)
            await self._process.wait()

    def _take(self, line: bytes) -> None:
        if line.endswith(b"\n"):  # else it was killed within the line
            self.last_line = line.decode().rstrip()


async def _while(doing: Coroutine[Any, Any, None], work: Awaitable[T]) -> T:
    """What some work returns, beside which something else is done as long as it takes."""
    beside = asyncio.create_task(doing)
    try:
        return await work
    finally:
        beside.cancel()
        await asyncio.wait({beside})


@asynccontextmanager
async def script(code: str, *arguments: str, environment: dict[str, str] | None = None) -> AsyncIterator[Script]:
    """Runs a program, which is killed at the end if it still lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-u", "-c", code, *arguments),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(environment or {})},
    )
    try:
        yield Script(process)
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


async def columns(channel: grpc.aio.Channel, run: str) -> list[SeriesColumns]:
    """The values of a run as the server hands them out."""
    stream = stubs.metrics(channel).ReadSeries(ReadSeriesRequest(runs=[run]))
    return [response.columns async for response in stream]


async def values(channel: grpc.aio.Channel, run: str, metric: str) -> list[object]:
    """The values of a metric, in order."""
    found = [each for each in await columns(channel, run) if each.metric == metric]
    return [value for each in found for value in values_of(each)]


async def has_stored(channel: grpc.aio.Channel, run: str, metric: str, count: int) -> None:
    """Waits until so many values of a metric are stored; a tail that breaks is followed by another one."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await _has_told(channel, TailSeriesRequest(runs=[run], metrics=[metric]), count)
            except grpc.aio.AioRpcError as error:
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
            await asyncio.sleep(LOOK_SECONDS)


async def _has_told(channel: grpc.aio.Channel, request: TailSeriesRequest, count: int) -> None:
    stored = 0
    tail = aiter(stubs.metrics(channel).TailSeries(request, wait_for_ready=True))
    while stored < count:
        stored += len((await anext(tail)).values.columns.times)


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


def _is_held(lock: Path) -> bool:
    with suppress(OSError), lock.open("rb") as file:
        return is_locked(file.fileno())
    return False


def _holder(lock: Path) -> int:
    """The process that has an uplink's lock; 0: nobody, or one that was killed and is about to give it back."""
    with suppress(OSError, ValueError, psutil.NoSuchProcess), lock.open("rb") as file:
        if is_locked(file.fileno()):
            process = psutil.Process(int(file.read()))  # empty while the next has the lock and did not sign yet
            return 0 if process.status() == psutil.STATUS_ZOMBIE else process.pid
    return 0
