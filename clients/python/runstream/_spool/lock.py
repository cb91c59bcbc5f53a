"""Locks: on files, given back by the system when their owner dies, and of threads."""

import fcntl
import os
import re
import threading
import time
from pathlib import Path
from typing import Final

LOOKING_SECONDS: Final = 0.1
"""How long who only looks is waited for: much longer than it takes, but for a process that is stopped meanwhile."""
DYING_SECONDS: Final = 0.25
"""How long is waited for an owner that was killed. It takes milliseconds, more where the machine is busy."""
DYING_STATES: Final = (b"Z", b"X")
PAUSE_SECONDS: Final = 0.001


def lock_file(path: Path, patience_seconds: float = LOOKING_SECONDS, *, keeps: bool = False) -> int | None:
    """Opens a file, which is made if need be, locks it and empties it; None when somebody else has it locked.

    With `keeps` what is in the file stays.

    The lock is held until the descriptor is closed, in every process that has inherited it. Who only looks has it
    locked for a moment as well, and is waited for.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(file):
            if is_locked(file) or time.monotonic() > deadline:
                os.close(file)
                return None
        elif is_at(file, path):
            if not keeps:
                os.ftruncate(file, 0)
            return file
        os.close(file)  # its owner removed it between the opening and the locking, or somebody only looked


def sign(file: int) -> None:
    """Writes this process's id into a file that it has locked."""
    os.ftruncate(file, 0)
    os.pwrite(file, f"{os.getpid()}\n".encode(), 0)


def lock_file_of_dead(path: Path, patience_seconds: float = DYING_SECONDS) -> int | None:
    """As `lock_file`, and outlives the death of an owner that signed the file.

    The threads of a killed process end one by one, the last of them gives its locks back.
    """
    deadline = time.monotonic() + patience_seconds
    while True:
        is_dying = _is_dying(_signer(path))  # first, so that a lock that is not had afterwards is that of who lives
        file = lock_file(path)
        if file is not None or not is_dying or time.monotonic() > deadline:
            return file
        time.sleep(PAUSE_SECONDS)


def try_lock(file: int) -> bool:
    """Locks an open file unless somebody else has it locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def is_locked(file: int) -> bool:
    """Whether somebody else has an open file locked."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    fcntl.flock(file, fcntl.LOCK_UN)
    return False


def is_live(path: Path) -> bool:
    """Whether somebody has a file locked, as who writes a spool has it."""
    try:
        with path.open("rb") as file:
            return is_locked(file.fileno())
    except OSError:
        return False


def is_held_once(lock: "threading.RLock") -> bool:
    """Whether this thread, which has the lock, took it once only: then it interrupts nothing that holds it."""
    return re.search(r"\bcount=1\b", repr(lock)) is not None


def _signer(path: Path) -> int:
    try:
        return int(path.read_bytes())
    except (OSError, ValueError):
        return 0


def _is_dying(process: int) -> bool:
    """Whether the first thread of a process has ended; where the system does not tell, no process has."""
    try:
        status = Path(f"/proc/{process}/stat").read_bytes()
    except OSError:
        return False
    return status.rpartition(b") ")[2][:1] in DYING_STATES


def is_at(file: int, path: Path) -> bool:
    """Whether a path leads to an open file, which may have been removed or renamed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
