"""Ends a PostgreSQL server whose starter was killed and that still works on a folder of ours."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from runstream_server.embedded.errors import EmbeddedError

PROBE_SECONDS = 0.01
STOP_SIGNALS = ((signal.SIGINT, 30.0), (signal.SIGQUIT, 10.0), (signal.SIGKILL, 10.0))


async def end_orphan(data: Path) -> None:
    """Ends the server that works on `data`, if any, and removes the mark of one that is gone.

    To be called only by who holds the lock of the folder: any server on it is then nobody's.

    Raises:
        EmbeddedError: It cannot be ended.
    """
    mark = data / "postmaster.pid"
    pid = _read_pid(mark)
    if pid is None:
        return
    for number, seconds in STOP_SIGNALS:
        if not works_on(pid, data):
            break
        with suppress(ProcessLookupError):
            os.kill(pid, number)
        await _wait_gone(pid, data, seconds)
    if works_on(pid, data):
        raise EmbeddedError(f"process {pid} works on {data} and cannot be ended; end it by hand")
    # Its number can belong to another process by now, which would keep a new server from starting.
    mark.unlink(missing_ok=True)


def _read_pid(mark: Path) -> int | None:
    with suppress(FileNotFoundError, ValueError, IndexError):
        return int(mark.read_text().splitlines()[0])
    return None


async def _wait_gone(pid: int, data: Path, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while works_on(pid, data) and time.monotonic() < deadline:  # noqa: ASYNC110 - another's child: no event tells
        await asyncio.sleep(PROBE_SECONDS)


def works_on(pid: int, data: Path) -> bool:
    """Tells whether this process lives and is the server of a folder: a server's working folder is its data."""
    if sys.platform == "linux":
        with suppress(OSError):
            return Path(f"/proc/{pid}/cwd").samefile(data)
        return False
    found = subprocess.run(["ps", "-ww", "-o", "command=", "-p", str(pid)], capture_output=True, text=True, check=False)
    return str(data) in found.stdout
