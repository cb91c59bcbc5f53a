"""Locks: on files, given back by the system when their owner dies, and of threads."""

import fcntl
import os
import re
import threading
from pathlib import Path


def lock_file(path: Path) -> int | None:
    """Opens a file, which is made if need be, and locks it; None when somebody else has it locked.

    The lock is held until the descriptor is closed, in every process that has inherited it.
    """
    while True:
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if not try_lock(file):
            os.close(file)
            return None
        if is_at(file, path):
            return file
        os.close(file)  # its owner removed it between the opening and the locking


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


def is_at(file: int, path: Path) -> bool:
    """Whether a path leads to an open file, which may have been removed or renamed meanwhile."""
    try:
        return os.path.samestat(os.fstat(file), path.stat())
    except FileNotFoundError:
        return False
