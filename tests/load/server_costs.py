"""What a server costs while something is measured: the processor's time, and memory."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import psutil

SECONDS_BETWEEN_LOOKS = 0.1


@dataclass
class Costs:
    """What one process has used."""

    cpu_seconds: float = 0.0
    most_megabytes: float = 0.0


@asynccontextmanager
async def costs_of(pid: int) -> AsyncIterator[Costs]:
    """Measures a process while the context is open."""
    process, costs = psutil.Process(pid), Costs()
    begun = _cpu_seconds(process)
    looking = asyncio.create_task(_look(process, costs))
    try:
        yield costs
    finally:
        looking.cancel()
        costs.cpu_seconds = _cpu_seconds(process) - begun


def _cpu_seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


async def _look(process: psutil.Process, costs: Costs) -> None:
    while True:
        costs.most_megabytes = max(costs.most_megabytes, process.memory_info().rss / 1e6)
        await asyncio.sleep(SECONDS_BETWEEN_LOOKS)
