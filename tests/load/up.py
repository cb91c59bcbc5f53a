"""Benchmarks of `runstream up`: how soon it is ready, and what it costs while nothing happens."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

from runstream_server.embedded.postgres import run_postgres
from tests.load.backend import running_up
from tests.load.figures import Figure, cost

SAMPLES = 5
SETTLE_SECONDS = 5.0


async def ready() -> AsyncIterator[Figure]:
    """From the start of the command on a folder that was used before to its being ready, beside Postgres alone."""
    with TemporaryDirectory(prefix="runstream-bench-") as name:
        folder = Path(name)
        async with running_up(folder):
            """Makes the folder."""
        taken, alone = [], []
        for _ in range(SAMPLES):
            async with running_up(folder) as up:
                taken.append(up.ready_seconds)
            begun = time.perf_counter()
            async with run_postgres(folder / "postgres-alone"):
                alone.append(time.perf_counter() - begun)
    yield cost("up.ready", "s", taken, ("Postgres alone", alone[1:]), 3)


async def memory() -> AsyncIterator[Figure]:
    """Proportional set size of the whole tree while idle, beside that of Postgres and the S3 server in it."""
    with TemporaryDirectory(prefix="runstream-bench-") as name:
        async with running_up(Path(name)) as up:
            totals, children = [], []
            for _ in range(3):
                await asyncio.sleep(SETTLE_SECONDS)
                root = psutil.Process(up.pid)
                below = sum(_megabytes(process) for process in root.children(recursive=True))
                totals.append(below + _megabytes(root))
                children.append(below)
    yield cost("up.memory", "MB", totals, ("its Postgres and S3 server", children), 300)


def _megabytes(process: psutil.Process) -> float:
    return float(process.memory_full_info().pss) / 1e6
