"""Whatever is killed, what was logged arrives once and in order."""

import asyncio
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runstream._spool.places import SPOOL_VARIABLE
from tests.conftest import Backend
from tests.spools import Spools, columns, has_stored, script, until, values, warnings

LOGGING = """
import sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:])
for number, _ in enumerate(sys.stdin):
    spool.log("loss", float(number))
    print(number)
"""

FORKING = """
import os, sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:])
spool.log("parent", 1.0)
for child in range(3):
    if os.fork() == 0:
        for number in range(100):
            spool.log(f"child {child}", number)
        spool.finish()
        os._exit(0)
for _ in range(3):
    os.wait()
spool.log("parent", 2.0)
"""

MULTIPROCESSING = """
import multiprocessing, sys
from runstream._spool import RunSpool

def log(arguments, rank):
    spool = RunSpool.open(*arguments)
    for number in range(100):
        spool.log(f"rank {rank}", number)

if __name__ == "__main__":
    context = multiprocessing.get_context("fork")
    RunSpool.open(*sys.argv[1:]).log("parent", 1)
    ranks = [context.Process(target=log, args=(sys.argv[1:], rank)) for rank in range(8)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join()
"""

FULL_DISK = """
import resource, sys
from runstream._spool import RunSpool
spool = RunSpool.open(*sys.argv[1:])
spool.log("loss", 0.0)
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, resource.RLIM_INFINITY))
for number in range(1, 1_000):
    spool.log("loss", float(number))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.log("loss", -1.0)
try:
    spool.flush(30)
except Exception as error:
    print(error.message)
"""

SMALL_DISK = """
import logging, os, signal, sys
from runstream._spool import RunSpool
warned = []
class Warned(logging.Handler):
    def emit(self, record): warned.append(record.getMessage())
logging.getLogger("runstream").addHandler(Warned())
spool = RunSpool.open(*sys.argv[1:])
spool.log("loss", 0.0)
spool.flush(30)
group = next(os.scandir(os.environ["RUNSTREAM_SPOOL_DIR"])).path
uplink = int(open(group + "/uplink.lock").read())
os.kill(uplink, signal.SIGSTOP)  # nothing is carried up while the disk fills
for number in range(1, 60_000):
    spool.log("loss", float(number))
os.kill(uplink, signal.SIGCONT)
spool.finish()
print(len(warned), "warnings")
"""

LOADED = """
import sys
import runstream._spool, runstream.core
print("grpc" in sys.modules)
"""


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 1 MiB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(disk)]
    if not shutil.which("mount") or subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("nothing can be mounted here")
    yield disk
    subprocess.run(["umount", "-l", str(disk)], check=True)


async def test_everything_a_killed_script_logged_arrives(backend: Backend, run: str, spools: Spools) -> None:
    async with script(LOGGING, run, backend.address) as logging:
        await logging.kill_amid(10_000, after=2_000)
    await spools.carried()
    stored = await values(backend.channel, run, "loss")
    assert stored == [float(number) for number in range(len(stored))]
    assert len(stored) - int(logging.last_line) in (1, 2)  # it may have been killed before it printed the last one


async def test_a_script_that_just_ends_loses_nothing(backend: Backend, run: str, spools: Spools) -> None:
    async with script(LOGGING, run, backend.address) as logging:
        await logging.step(10)
        logging.say_no_more()
        await logging.end()
    await spools.carried()
    assert await values(backend.channel, run, "loss") == [float(number) for number in range(10)]


async def test_killed_uplinks_lose_and_double_nothing(backend: Backend, run: str, spools: Spools) -> None:
    async with script(LOGGING, run, backend.address) as logging:
        killed: set[int] = set()
        for kills in range(4):
            await logging.stepping(has_stored(backend.channel, run, "loss", 100 * kills))
            killed.add(await logging.stepping(spools.kill_uplink()))
        await logging.kill()
    assert len(killed) == 4
    await _start_uplink(spools)
    await spools.carried()
    stored_values = await values(backend.channel, run, "loss")
    assert stored_values == [float(number) for number in range(len(stored_values))]
    assert len(stored_values) > int(logging.last_line)


async def test_processes_forked_by_the_script_write_spools_of_their_own(
    backend: Backend, run: str, spools: Spools
) -> None:
    async with script(FORKING, run, backend.address) as forking:
        await forking.end()
    await spools.carried()
    assert await values(backend.channel, run, "parent") == [1.0, 2.0]
    for child in range(3):
        assert await values(backend.channel, run, f"child {child}") == list(range(100))


async def test_eight_ranks_log_to_one_run_over_one_uplink(
    backend: Backend, run: str, spools: Spools, tmp_path: Path
) -> None:
    async with script(MULTIPROCESSING, run, backend.address) as ranks:
        await ranks.end()
    await spools.carried()
    stored = {column.metric for column in await columns(backend.channel, run)}
    assert stored == {"parent", *(f"rank {rank}" for rank in range(8))}
    for rank in range(8):
        assert await values(backend.channel, run, f"rank {rank}") == list(range(100))


async def test_a_full_disk_costs_what_does_not_fit_and_says_so(backend: Backend, run: str, spools: Spools) -> None:
    async with script(FULL_DISK, run, backend.address) as full:
        await full.end()
    await spools.carried()
    stored = await values(backend.channel, run, "loss")
    assert stored == [*(float(number) for number in range(len(stored) - 1)), -1.0]
    lost = 1_001 - len(stored)
    assert 0 < lost < 1_000
    assert f"{lost} could not be written to the spool" in full.last_line
    assert any(f"{lost} values of 1 metric were not recorded" in text for text in await warnings(backend.channel, run))


async def test_a_full_file_system_costs_what_does_not_fit_and_the_rest_arrives(
    backend: Backend, run: str, spools: Spools, small_disk: Path
) -> None:
    async with script(SMALL_DISK, run, backend.address, environment={SPOOL_VARIABLE: str(small_disk)}) as full:
        await full.end()
    await until(lambda: not list(small_disk.glob("*/*.spool")))

    stored = await values(backend.channel, run, "loss")
    assert stored == [float(number) for number in range(len(stored))]
    lost = 60_000 - len(stored)
    assert lost > 0
    assert full.last_line == "1 warnings"
    found = await warnings(backend.channel, run)
    assert any(f"{lost} values of 1 metric were not recorded: " in text for text in found)


async def test_a_second_uplink_refuses(backend: Backend, run: str, spools: Spools) -> None:
    spool = spools.open(run, backend.address)
    spool.log("loss", 1.0)
    first = await spools.uplink()
    group = next(spools.root.iterdir())
    second = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runstream._uplink", "--foreground", "--spool-dir", str(group)),
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await second.communicate()
    assert second.returncode == 1
    assert b"another uplink" in said
    assert spools.uplinks() == [first]


async def test_logging_loads_no_grpc() -> None:
    async with script(LOADED) as loading:
        await loading.end()
    assert loading.last_line == "False"


async def _start_uplink(spools: Spools) -> None:
    """Starts an uplink as the next script would, unless one lives."""
    (group,) = spools.root.iterdir()
    started = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "runstream._uplink", "--spool-dir", str(group)), stderr=asyncio.subprocess.DEVNULL
    )
    await started.wait()
    await until(lambda: bool(spools.uplinks()) or not spools.left())
