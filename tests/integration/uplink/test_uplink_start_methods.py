"""However a process was started, what it logs arrives once, and in the order in which it was logged."""

import asyncio
import sys
from pathlib import Path

import pytest

from tests.conftest import Backend
from tests.spools import SECONDS, Spools, columns, script, values

WORKERS = """
import multiprocessing, os, sys, threading
from runstream._spool import RunSpool

def log(name):
    spool = RunSpool.open(*sys.argv[1:3])
    for number in range(500):
        spool.log(name, float(number))

def work(tasks, done):
    "As a worker of a PyTorch DataLoader: it takes indices, and logs what it loaded."
    for index in iter(tasks.get, None):
        RunSpool.open(*sys.argv[1:3]).log(f"worker {os.getpid()}", float(index))
        done.put((os.getpid(), index))

if __name__ == "__main__":
    method = sys.argv[3]
    log("before")
    context = multiprocessing.get_context(method)
    tasks, done = context.Queue(), context.Queue()
    loaders = [context.Process(target=work, args=(tasks, done), daemon=True) for _ in range(3)]
    processes = [context.Process(target=log, args=(f"process {number}",)) for number in range(3)]
    threads = [threading.Thread(target=log, args=(f"thread {number}",)) for number in range(3)]
    for each in [*loaders, *processes]: each.start()
    for each in threads: each.start()
    for index in range(300): tasks.put(index)
    for _ in loaders: tasks.put(None)
    for index in range(300): print(*done.get())
    for each in [*loaders, *processes, *threads]: each.join()
    assert not any(each.exitcode for each in [*loaders, *processes])
    log("after")
"""


@pytest.mark.parametrize("method", ["fork", "forkserver", "spawn"])
async def test_processes_threads_and_loaders_log(
    backend: Backend, run: str, spools: Spools, tmp_path: Path, method: str
) -> None:
    program = tmp_path / "program.py"
    program.write_text(WORKERS)
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(program), run, backend.address, method, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS * 2):
        printed, _ = await process.communicate()
    assert not process.returncode
    await spools.carried()

    loaded: dict[str, list[float]] = {}
    for line in printed.decode().splitlines():
        pid, index = line.split()
        loaded.setdefault(f"worker {pid}", []).append(float(index))
    names = {"before", "after"} | {f"{kind} {number}" for kind in ("process", "thread") for number in range(3)}
    assert {column.metric for column in await columns(backend.channel, run)} == names | loaded.keys()
    for name in names:
        assert await values(backend.channel, run, name) == [float(number) for number in range(500)]
    for name, indices in loaded.items():
        assert await values(backend.channel, run, name) == indices


async def test_an_interactive_session_logs_line_by_line(backend: Backend, run: str, spools: Spools) -> None:
    lines = [
        "from runstream._spool import RunSpool",
        f"spool = RunSpool.open({run!r}, {backend.address!r})",
        *(f"spool.log('loss', {number}.0)" for number in range(50)),
        "spool.flush(30)",
        "raise ValueError('an error of the cell does not end the session')",
        "spool.log('loss', 50.0)",
        "",
    ]
    session = await asyncio.create_subprocess_exec(
        *(sys.executable, "-i", "-q"), stdin=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(SECONDS):
        await session.communicate("\n".join(lines).encode())
    await spools.carried()

    assert await values(backend.channel, run, "loss") == [float(number) for number in range(51)]


RANK = """
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:3])
for number in range(2_000):
    spool.log(f"rank {sys.argv[3]}", float(number))
    spool.log("shared", int(sys.argv[3]) * 2_000 + number)
"""


async def test_eight_independent_ranks_log_to_one_run_and_one_metric(
    backend: Backend, run: str, spools: Spools
) -> None:
    async with asyncio.timeout(SECONDS * 2), asyncio.TaskGroup() as ranks:
        for rank in range(8):
            ranks.create_task(_end(run, backend.address, str(rank)))
    await spools.carried()

    for rank in range(8):
        assert await values(backend.channel, run, f"rank {rank}") == [float(number) for number in range(2_000)]
    shared = [value for value in await values(backend.channel, run, "shared") if isinstance(value, int)]
    assert sorted(shared) == list(range(16_000))
    for rank in range(8):
        own = [value for value in shared if value // 2_000 == rank]
        assert own == sorted(own)


async def _end(*arguments: str) -> None:
    async with script(RANK, *arguments) as rank:
        await rank.end()
