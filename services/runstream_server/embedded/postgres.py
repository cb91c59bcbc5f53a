"""PostgreSQL from a wheel, run as a child process on a folder of its own, reached by a Unix socket."""

import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from runstream_server.embedded.child import Child, Program, keep_running
from runstream_server.embedded.cluster import Cluster
from runstream_server.embedded.lock import lock_folder
from runstream_server.embedded.orphan import end_orphan

STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0))
LONGEST_SOCKET_FOLDER_BYTES = 85


@dataclass(frozen=True)
class EmbeddedPostgres:
    """A running server."""

    dsn: str
    """For asyncpg and libpq: database and role `runstream`, which may create databases. The same after a restart."""

    child: Child

    @property
    def pid(self) -> int | None:
        """Process id of the postmaster; None while it is down."""
        return self.child.pid


@asynccontextmanager
async def run_postgres(
    folder: Path, *, log: Path | None = None, survive_power_cut: bool = True
) -> AsyncIterator[EmbeddedPostgres]:
    """Runs PostgreSQL on `folder` while the context is open; the database is made on first use.

    It is started again when it dies. Running as root, it runs as the owner of the data, or `postgres`, or `nobody`.
    `log` is a file, by default one in the folder. Without `survive_power_cut` commits are faster, and still survive
    kill -9 of any process.

    Raises:
        EmbeddedMissing: The package is not installed.
        FolderInUse: Another process runs it on this folder.
        ChildFailed: It did not start.
    """
    with lock_folder(folder) as folder, _socket_folder(folder) as socket_folder:
        cluster = Cluster(folder / "data", log or folder / "postgres.log")
        await cluster.make(survive_power_cut=survive_power_cut)
        cluster.configure(socket_folder, survive_power_cut=survive_power_cut)
        child = Child(_program(cluster), prepare=lambda: end_orphan(cluster.data), serves=cluster.serves)
        async with keep_running(child):
            yield EmbeddedPostgres(_dsn(socket_folder), child)


def _program(cluster: Cluster) -> Program:
    return cluster.program("postgres", "-D", str(cluster.data), stop_signals=STOP_SIGNALS)


def _dsn(socket_folder: Path) -> str:
    return f"postgresql://runstream@/runstream?host={quote(str(socket_folder), safe='')}"


@contextmanager
def _socket_folder(folder: Path) -> Iterator[Path]:
    """Where the socket lies: below `folder`, or where that path is too long for a socket, in a temporary folder.

    It lies one level below a folder that is ours alone: the user that Postgres runs as may have other processes.
    """
    socket_folder = folder / "socket"
    if len(bytes(socket_folder)) <= LONGEST_SOCKET_FOLDER_BYTES:
        yield socket_folder
        return
    short = Path(tempfile.mkdtemp(prefix="runstream-"))
    try:
        yield short / "socket"
    finally:
        shutil.rmtree(short, ignore_errors=True)
