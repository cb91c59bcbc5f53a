"""Starts the uplink of a group of spools."""

import atexit
import contextlib
import os
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runstream._channel.interpreter import package_environment
from runstream._channel.tokens import PRIVATE_VARIABLES
from runstream._spool.lock import is_locked, lock_file_of_dead
from runstream._spool.places import LOCK_NAME, LOG_NAME

MAX_LAUNCHES: Final = 5
LAUNCH_SECONDS: Final = 60.0
"""A process starts an uplink that carries nothing `MAX_LAUNCHES` times in this time at most: it may not be able to."""

_launched: list["subprocess.Popen[bytes]"] = []
_launch_times: dict[Path, deque[float]] = {}
_held: set[int] = set()


def ensure_uplink(group: Path) -> None:
    """Starts the uplink of a group unless it lives: whoever gets its lock starts it and hands the lock on.

    Raises:
        OSError: It cannot be started.
    """
    _reap()
    times = _launch_times.setdefault(group, deque(maxlen=MAX_LAUNCHES))
    if len(times) == MAX_LAUNCHES and time.monotonic() - times[0] < LAUNCH_SECONDS:
        return
    with _locked(group / LOCK_NAME) as lock:
        if lock is not None:
            times.append(time.monotonic())
            _launched.append(_launch(group, lock))


def is_uplink_alive(group: Path) -> bool:
    """Whether a process carries the spools of a group."""
    try:
        with (group / LOCK_NAME).open("rb") as lock:
            return is_locked(lock.fileno())
    except OSError:
        return False


def trust_uplink(group: Path) -> None:
    """Says that the uplinks of a group do their work: however many have ended, another one may be started."""
    _launch_times.pop(group, None)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    lock = lock_file_of_dead(path)
    if lock is None:
        yield None
        return
    _held.add(lock)
    try:
        yield lock
    finally:
        _held.discard(lock)
        os.close(lock)


def _launch(group: Path, lock: int) -> "subprocess.Popen[bytes]":
    if not sys.executable:
        raise OSError("this Python does not know its own executable")
    arguments = ["--spool-dir", str(group), "--lock", str(lock)]
    with (group / LOG_NAME).open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-Wdefault", "-m", "runstream._uplink", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd="/",
            env=_environment(),
            pass_fds=(lock,),
            start_new_session=True,
        )


def _environment() -> dict[str, str]:
    """That of this process without its token: an uplink serves others too, and each spool says which one is its own."""
    return {name: value for name, value in package_environment().items() if name not in PRIVATE_VARIABLES}


def _reap() -> None:
    """Forgets launchers that have ended: each ends as soon as the uplink stands on its own."""
    _launched[:] = [process for process in _launched if process.poll() is None]


def _disown() -> None:
    """Leaves launchers that have not ended to themselves."""
    for process in _launched:
        process.returncode = 0
    _launched.clear()


def _forget() -> None:
    """In a child process: the launchers and locks are the parent's."""
    _disown()
    _launch_times.clear()
    for lock in _held:
        os.close(lock)
    _held.clear()


atexit.register(_disown)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
