"""A Postgres of a test's own, which may be killed, stopped and frozen."""

import os
import random
import signal
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import psutil

from runstream_server import app
from runstream_server.embedded.child import Child
from runstream_server.embedded.cluster import Cluster
from runstream_server.embedded.orphan import end_orphan
from runstream_server.postgres import migrate

_STOP_SIGNALS = ((signal.SIGQUIT, 10.0),)  # Postgres can miss others while it recovers


class PostgresProcess:
    """A Postgres, replaced by another one on the same data and socket when it is killed and started again."""

    def __init__(self, child: Child, dsn: str) -> None:
        self.dsn = dsn
        self._child = child

    @property
    def _postmaster(self) -> psutil.Process:
        assert self._child.pid is not None
        return psutil.Process(self._child.pid)

    async def start(self) -> None:
        """Starts it and waits until it recovered."""
        await self._child.start()

    async def end(self, number: signal.Signals) -> None:
        """Sends the postmaster a signal that ends it, and waits for that."""
        self._postmaster.send_signal(number)
        assert self._child._process is not None
        await self._child._process.wait()

    def kill_backend(self, choice: random.Random) -> None:
        """Kills a process that serves a connection, upon which the postmaster ends all others and recovers."""
        backends = [each for each in self._postmaster.children() if "runstream" in " ".join(each.cmdline())]
        os.kill(choice.choice(backends).pid, signal.SIGKILL)

    def freeze(self) -> None:
        """Stops all of its processes where they are."""
        for each in [self._postmaster, *self._postmaster.children()]:
            each.suspend()

    def thaw(self) -> None:
        """Lets all of its processes go on."""
        for each in [self._postmaster, *self._postmaster.children()]:
            each.resume()

    async def stop(self) -> None:
        """Ends it for good."""
        await self._child.stop()


@asynccontextmanager
async def postgres_process() -> AsyncIterator[PostgresProcess]:
    """Runs a Postgres with a migrated database. It is not started again when it ends."""
    with tempfile.TemporaryDirectory(prefix="chaos-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        cluster = Cluster(folder / "data", folder / "postgres.log")
        await cluster.make(survive_power_cut=False)
        cluster.configure(folder / "socket", survive_power_cut=False)
        program = cluster.program("postgres", "-D", str(cluster.data), stop_signals=_STOP_SIGNALS)
        child = Child(program, prepare=lambda: end_orphan(cluster.data), serves=cluster.serves)
        dsn = f"postgresql://runstream@/runstream?host={quote(str(folder / 'socket'), safe='')}"
        process = PostgresProcess(child, dsn)
        await process.start()
        try:
            await migrate(dsn, app.MIGRATIONS)
            yield process
        finally:
            await process.stop()
