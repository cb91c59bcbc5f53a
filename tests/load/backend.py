"""The backend that benchmarks measure: `runstream up` as a process of its own on a temporary folder."""

import asyncio
import json
import os
import signal
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, cast
from urllib.parse import quote

from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceStub
from runstream_server.rpc import open_channel

if TYPE_CHECKING:
    from runstream.api.runs.v1.run_history_service_pb2_grpc import RunHistoryServiceAsyncStub

START_SECONDS = 60


@dataclass(frozen=True)
class Up:
    """A running `runstream up`."""

    address: str
    pid: int
    ready_seconds: float
    postgres: str
    """The DSN of its database."""

    data: Path
    """The folder of its data."""


@asynccontextmanager
async def running_up(folder: Path, **settings: str) -> AsyncIterator[Up]:
    """Runs the backend on `folder` while the context is open, with settings of the environment."""
    environment = {**os.environ, **settings, "RUNSTREAM_STATE_DIR": str(folder / "state")}
    begun = time.perf_counter()
    process = await asyncio.create_subprocess_exec(
        *(str(Path(sys.executable).with_name("runstream")), "up", "--data", str(folder / "data"), "--port", "0"),
        env=environment,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        state = await _state(folder / "state" / "up.json", process)
        ready_seconds = time.perf_counter() - begun
        postgres = (
            f"postgresql://runstream@/runstream?host={quote(str(folder / 'data' / 'postgres' / 'socket'), safe='')}"
        )
        yield Up(str(state["address"]), process.pid, ready_seconds, postgres, folder / "data")
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGINT)
        await process.wait()


async def _state(path: Path, process: asyncio.subprocess.Process) -> dict[str, object]:
    async with asyncio.timeout(START_SECONDS):
        while process.returncode is None:
            with suppress(FileNotFoundError, json.JSONDecodeError):
                return dict(json.loads(path.read_bytes()))  # noqa: ASYNC240 - a few bytes
            await asyncio.sleep(0.005)
    raise RuntimeError(f"runstream up ended with code {process.returncode}")


@asynccontextmanager
async def backend(**settings: str) -> AsyncIterator[tuple[Up, "RunHistoryServiceAsyncStub"]]:
    """A backend on a folder of its own, with settings of the environment, and a stub on it."""
    with TemporaryDirectory(prefix="runstream-bench-") as folder:
        async with running_up(Path(folder), **settings) as up, open_channel(up.address) as channel:
            yield up, cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(channel))
