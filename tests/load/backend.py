"""The backend that benchmarks measure: `runstream up` as a process of its own on a temporary folder."""

import asyncio
import json
import os
import signal
import socket
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
from runstream_server.embedded.servers import run_servers
from runstream_server.embedded.up import make_workspace
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
async def workers(count: int, folder: Path) -> AsyncIterator[Up]:
    """Runs `runstream-server serve --workers` on Postgres and an S3 server of its own while the context is open."""
    async with run_servers(folder, logs=folder / "logs", postgres=True, s3=True) as servers:
        assert servers.postgres is not None
        assert servers.s3 is not None
        address = f"127.0.0.1:{_free_port()}"
        settings = {
            "RUNSTREAM_PORT": address.rpartition(":")[2],
            "RUNSTREAM_GATEWAY_PORT": str(_free_port()),
            "RUNSTREAM_POSTGRES_DSN": servers.postgres.dsn,
            "RUNSTREAM_S3_ENDPOINT": servers.s3.endpoint,
            "RUNSTREAM_S3_ACCESS_KEY": servers.s3.access_key,
            "RUNSTREAM_S3_SECRET_KEY": servers.s3.secret_key,
            "RUNSTREAM_S3_BUCKET": servers.s3.bucket,
        }
        begun = time.perf_counter()
        process = await asyncio.create_subprocess_exec(
            *(str(Path(sys.executable).with_name("runstream-server")), "serve", "--workers", str(count)),
            env={**os.environ, **settings},
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            said = await _serving(process, count)
            await make_workspace(address, "")
            yield Up(address, process.pid, time.perf_counter() - begun, servers.postgres.dsn, folder)
            said.cancel()
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


async def _serving(process: asyncio.subprocess.Process, count: int) -> "asyncio.Task[None]":
    """Waits until all workers serve; the task then takes in what else they say."""
    assert process.stderr is not None
    async with asyncio.timeout(START_SECONDS):
        while count:
            line = await process.stderr.readline()
            if not line:
                raise RuntimeError(f"runstream-server ended with code {await process.wait()}")
            count -= line.startswith(b"{") and json.loads(line).get("event") == "serving"
    return asyncio.create_task(_take_in(process.stderr))


async def _take_in(lines: asyncio.StreamReader) -> None:
    async for _ in lines:
        pass


@asynccontextmanager
async def backend_of(count: int) -> AsyncIterator[tuple[Up, "RunHistoryServiceAsyncStub"]]:
    """As `backend`, with several processes that serve."""
    with TemporaryDirectory(prefix="runstream-bench-") as folder:
        async with workers(count, Path(folder)) as up, open_channel(up.address) as channel:
            yield up, cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(channel))


@asynccontextmanager
async def backend(**settings: str) -> AsyncIterator[tuple[Up, "RunHistoryServiceAsyncStub"]]:
    """A backend on a folder of its own, with settings of the environment, and a stub on it."""
    with TemporaryDirectory(prefix="runstream-bench-") as folder:
        async with running_up(Path(folder), **settings) as up, open_channel(up.address) as channel:
            yield up, cast("RunHistoryServiceAsyncStub", RunHistoryServiceStub(channel))
