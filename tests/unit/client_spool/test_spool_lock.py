"""Who has a lock is known, whoever looks at it, and while its owner dies."""

import fcntl
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runstream._spool.lock import is_locked, lock_file, lock_file_of_dead, sign

SECONDS = 30.0

DYING = """
import ctypes, os, pathlib, sys, threading
from runstream._spool.lock import lock_file, sign
file = lock_file(pathlib.Path(sys.argv[1]))
sign(file)
def linger():
    while pathlib.Path(f"/proc/{os.getpid()}/stat").read_bytes().rpartition(b") ")[2][:1] != b"Z": pass
    print("dying", flush=True)
    sys.stdin.read()
    os._exit(0)
threading.Thread(target=linger).start()
ctypes.CDLL(None).pthread_exit(None)
"""
"""A process whose first thread has ended, while another one that ends with the input still has the lock."""


@contextmanager
def dying_owner(lock: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that has the lock and is about to end."""
    with subprocess.Popen(
        [sys.executable, "-c", DYING, str(lock)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"dying\n"
        yield process


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of threads that have ended")
def test_the_lock_of_an_owner_that_dies_is_had_as_soon_as_it_is_dead(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with dying_owner(lock) as process:
        assert lock_file_of_dead(lock, 0.0) is None
        assert process.stdin is not None
        threading.Timer(0.0, process.stdin.close).start()
        file = lock_file_of_dead(lock, SECONDS)
        assert file is not None
        assert lock.read_bytes() == b""
        os.close(file)


def test_an_owner_that_lives_is_not_waited_for(tmp_path: Path) -> None:
    owned = lock_file(tmp_path / "lock")
    assert owned is not None
    for signs in (False, True):
        if signs:
            sign(owned)
        assert lock_file_of_dead(tmp_path / "lock", float("inf")) is None
    os.close(owned)


def test_who_only_looks_keeps_nobody_from_a_lock(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("wb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        threading.Timer(0.0, fcntl.flock, (looker, fcntl.LOCK_UN)).start()
        file = lock_file(lock, SECONDS)
        assert file is not None
        assert is_locked(looker.fileno())
        os.close(file)
        assert not is_locked(looker.fileno())


def test_who_goes_on_looking_is_not_waited_for_for_ever(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    with lock.open("wb") as looker:
        fcntl.flock(looker, fcntl.LOCK_SH)
        assert lock_file(lock) is None
