"""Benchmarks of files and snapshots: through the SDK, beside aiobotocore straight to the same bucket."""

import asyncio
import json
import os
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import psutil

from runstream._channel.address import STATE_VARIABLE
from runstream.api.artifacts.v1.artifact_service_pb2 import BatchUploadBlobsRequest, BeginUploadRequest, SmallBlob
from runstream_server.rpc import open_channel
from tests import stubs
from tests.load.backend import Up, running_up
from tests.load.figures import Figure, cost, rate
from tests.load.transferring import peak_megabytes
from tests.make_runs import make_run

SAMPLES = 3
FILE_SAMPLES = 4
"""Even: whoever downloads first is slower, whoever that is, and so each of the two is first as often as the other."""
SMALL_SAMPLES = 5
FILE_BYTES = 1 << 30
FILES = 2_000
SMALL_BYTES = 4_096
PORTION = 0.9
TIMES_FASTER = 10
TIMES_FASTER_DOWN = 5
"""Each file is written, which takes half of the time. By a URL each, four at a time, it was a third to a half."""
AGAIN_SECONDS = 0.3
MEMORY_MEGABYTES = 256
SETTLED_SECONDS = 2.5
"""Digests of files are remembered when they are older than two seconds."""


class Bench:
    """A backend, a run in it, and programs that transfer."""

    def __init__(self, up: Up, run: str, folder: Path) -> None:
        keys = json.loads((folder / "data" / "s3" / "credentials.json").read_text())
        port = (folder / "data" / "s3" / "port").read_text().strip()
        straight = {"endpoint": f"http://127.0.0.1:{port}", "bucket": "runstream", **keys}
        self.folder = folder
        self.task: dict[str, Any] = {"address": up.address, "run": run, **straight}
        self.megabytes: list[float] = []
        self._server = psutil.Process(up.pid)

    async def measure(self, what: str, **fields: Any) -> float:
        """The seconds a program took, begun when nothing waits to be written to disk; of ours the memory is noted."""
        await asyncio.to_thread(os.sync)
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.load.transferring", what, json.dumps({**self.task, **fields})),
            env={**os.environ, STATE_VARIABLE: str(self.folder / "client")},
            stdout=asyncio.subprocess.PIPE,
        )
        printed, _ = await process.communicate()
        measured = json.loads(printed)
        if what.startswith("ours"):
            self.megabytes.append(measured["megabytes"])
        return float(measured["seconds"])

    def memory(self, name: str) -> list[Figure]:
        """How much memory our programs took at most, and the services."""
        limit = ("the goal", [MEMORY_MEGABYTES] * SAMPLES)
        served = [peak_megabytes(self._server.pid)] * SAMPLES
        return [
            cost(f"{name}.client_memory", "MiB", self.megabytes, limit, MEMORY_MEGABYTES),
            cost(f"{name}.server_memory", "MiB", served, limit, MEMORY_MEGABYTES),
        ]


async def file() -> AsyncIterator[Figure]:
    """One file of 1 GiB up and down."""
    async with _bench() as bench:
        source, target = bench.folder / "source", bench.folder / "target"
        _write(source)
        part = {"part_bytes": await _part_bytes(bench)}
        taken: dict[str, list[float]] = {what: [] for what in ("ours_up", "straight_up", "ours_down", "straight_down")}
        for number in range(FILE_SAMPLES):
            _change(source, number)
            first, second = ("ours", "straight") if number % 2 else ("straight", "ours")  # whoever is first finds calm
            for what in (f"{first}_up", f"{second}_up", f"{second}_down", f"{first}_down"):
                path = source if what.endswith("up") else target
                taken[what].append(await bench.measure(what, name=f"file-{number}", file=str(path), **part))
                target.unlink(missing_ok=True)
        for way in ("up", "down"):
            yield _speed(f"artifacts.file_{way}", taken[f"ours_{way}"], taken[f"straight_{way}"])
        for figure in bench.memory("artifacts.file"):
            yield figure


async def small() -> AsyncIterator[Figure]:
    """2,000 files of 4 KiB up and down."""
    async with _bench() as bench:
        await _open_bucket(bench)
        ways = ("ours_many", "straight_many", "ours_many_down", "straight_many_down")
        taken: dict[str, list[float]] = {what: [] for what in ways}
        for number in range(SMALL_SAMPLES):
            folder = _make_files(bench.folder / f"small-{number}")
            for what in ways:
                to = bench.folder / f"{what}-{number}" if what.endswith("down") else folder
                fields = {"name": f"small-{number}", "folder": str(to), "source": str(folder)}
                taken[what].append(await bench.measure(what, **fields))
        up, down = ((taken[f"ours_{way}"], taken[f"straight_{way}"]) for way in ("many", "many_down"))
        yield _times("artifacts.small", *up, "one PUT each, 32 in parallel", TIMES_FASTER)
        yield _times("artifacts.small_down", *down, "one GET each, 32 in parallel", TIMES_FASTER_DOWN)
        for figure in bench.memory("artifacts.small"):
            yield figure


async def again() -> AsyncIterator[Figure]:
    """A snapshot of 2,000 files of which nothing changed, beside looking at each of them."""
    async with _bench() as bench:
        folder = _make_files(bench.folder / "source")
        await asyncio.sleep(SETTLED_SECONDS)
        await bench.measure("ours_snapshot", folder=str(folder))
        taken = [await bench.measure("ours_snapshot", folder=str(folder), times=2) for _ in range(SAMPLES)]
        first = [await bench.measure("ours_snapshot", folder=str(folder), connecting=True) for _ in range(SAMPLES)]
        limit = ("os.stat of each file", [_look(folder) for _ in range(SAMPLES)])
        yield cost("artifacts.again", "s", taken, limit, AGAIN_SECONDS)
        yield cost("artifacts.again_connecting", "s", first, limit, None)
        for figure in bench.memory("artifacts.again"):
            yield figure


@asynccontextmanager
async def _bench() -> AsyncIterator[Bench]:
    with TemporaryDirectory(prefix="runstream-bench-") as name:
        folder = Path(name)
        async with running_up(folder) as up, open_channel(up.address) as channel:
            yield Bench(up, await make_run(channel), folder)


async def _open_bucket(bench: Bench) -> None:
    """Has the services load their client of the bucket, which they do at first use and which takes them a second."""
    async with open_channel(bench.task["address"]) as channel:
        workspace = bench.task["run"].partition("/runs/")[0]
        blobs = [SmallBlob(data=b"the first one")]
        await stubs.artifacts(channel).BatchUploadBlobs(BatchUploadBlobsRequest(parent=workspace, blobs=blobs))


async def _part_bytes(bench: Bench) -> int:
    """How large the parts are in which the services want a file of this size."""
    async with open_channel(bench.task["address"]) as channel:
        workspace = bench.task["run"].partition("/runs/")[0]
        request = BeginUploadRequest(parent=workspace, digest="0" * 64, size_bytes=FILE_BYTES, multipart=True)
        return int((await stubs.artifacts(channel).BeginUpload(request)).part_size_bytes)


def _times(name: str, ours: list[float], straight: list[float], limit: str, times: int) -> Figure:
    limits = [FILES / taken for taken in straight]
    goal = times * statistics.median(limits)
    return rate(name, "files/s", [FILES / taken for taken in ours], (limit, limits), goal)


def _speed(name: str, ours: list[float], straight: list[float]) -> Figure:
    megabytes = FILE_BYTES / 1e6
    limits = [megabytes / taken for taken in straight]
    goal = PORTION * statistics.median(limits)
    return rate(name, "MB/s", [megabytes / taken for taken in ours], ("aiobotocore to the bucket", limits), goal)


def _write(path: Path) -> None:
    block = os.urandom(1 << 20)
    with path.open("wb") as file:
        for _ in range(FILE_BYTES >> 20):
            file.write(block)


def _change(path: Path, number: int) -> None:
    """Makes a file another one, so that no byte of it is known."""
    with path.open("r+b") as file:
        file.write(number.to_bytes(8) + os.urandom(8))


def _make_files(folder: Path) -> Path:
    folder.mkdir()
    for number in range(FILES):
        (folder / f"{number:04}").write_bytes(os.urandom(SMALL_BYTES))
    return folder


def _look(folder: Path) -> float:
    begun = time.perf_counter()
    for path in folder.iterdir():
        path.stat()
    return time.perf_counter() - begun
