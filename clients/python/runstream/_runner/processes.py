"""The processes of a job, and what the system offers to find and end them."""

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Collection, Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Final, NamedTuple

MARK_VARIABLE: Final = "RUNSTREAM_JOB"
"""What all processes of a job have in their environments: the folder of the job."""
_SET_DEATH_SIGNAL: Final = 1
_SET_CHILD_SUBREAPER: Final = 36
_PROC: Final = Path("/proc")
_OURS: Final = (b"runstream._uplink", b"runstream._runner")
"""Modules whose processes outlive the job that started them: an uplink serves others too, a runner has its own job."""

_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Process(NamedTuple):
    """A process as the system tells of it."""

    pid: int
    parent: int
    group: int


def adopt_orphans() -> None:
    """Makes this process the parent of those below it that lose theirs; where the system cannot, nothing happens."""
    if _libc is not None:
        _libc.prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def die_with(parent: int) -> None:
    """Has the system kill this process, which its parent has just forked, when that dies; it may be dead already."""
    if _libc is not None:
        _libc.prctl(_SET_DEATH_SIGNAL, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != parent:
            os._exit(1)


def descendants(root: int) -> list[Process]:
    """The processes below one that have not ended, but for uplinks and other runners and what is below those.

    There are none where the system does not tell.
    """
    children: dict[int, list[Process]] = {}
    for process in _all():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    left = children.get(root, [])
    while left:
        process = left.pop()
        if not _is_ours(process.pid):
            found.append(process)
            left.extend(children.get(process.pid, ()))
    return found


def signal_groups(groups: Iterable[int], number: int) -> None:
    """Sends a signal to process groups; those that are gone are left out."""
    for group in groups:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)


def signal_below(root: int, number: int, groups: Collection[int] = ()) -> bool:
    """Sends a signal to the processes below one and to their groups, and to some more groups, to each once.

    Members of the root's own group are told one by one.

    Returns:
        Whether there was any process below.
    """
    found = descendants(root)
    own = os.getpgid(root) if found else 0
    signal_groups({process.group for process in found}.union(groups) - {own}, number)
    for process in found:
        if process.group == own:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(process.pid, number)
    return bool(found)


def kill_marked(mark: str) -> bool:
    """Kills all processes that have `RUNSTREAM_JOB` with this value, whoever their parents are; whether there was any.

    Uplinks and runners are spared.
    """
    wanted = f"{MARK_VARIABLE}={mark}".encode()
    found = [process for process in _all() if wanted in _environment(process.pid) and not _is_ours(process.pid)]
    for process in found:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.kill(process.pid, signal.SIGKILL)
    return bool(found)


def has_group(group: int) -> bool:
    """Whether a process group has any process, one that has ended and was not waited for included."""
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _all() -> Iterator[Process]:
    try:
        names = [path.name for path in _PROC.iterdir()]
    except OSError:
        return
    for name in names:
        if name.isdecimal():
            try:
                status = (_PROC / name / "stat").read_bytes()
            except OSError:
                continue
            state, parent, group = status.rpartition(b") ")[2].split(None, 3)[:3]
            if state not in (b"Z", b"X"):
                yield Process(int(name), int(parent), int(group))


def _environment(pid: int) -> list[bytes]:
    try:
        return (_PROC / str(pid) / "environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _is_ours(pid: int) -> bool:
    try:
        command = (_PROC / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return any(first == b"-m" and second in _OURS for first, second in pairwise(command))
