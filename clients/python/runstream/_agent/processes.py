"""Processes that outlive who started them: which process a number stands for, and when it ends."""

import asyncio
import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

LOOK_SECONDS: Final = 0.5
"""How often it is looked whether a process has ended, where the system does not tell."""
PROC: Final = Path("/proc")


class ProcessId(NamedTuple):
    """A process, told from later ones of the same number."""

    pid: int
    birth: str
    """When it was started, in the words of the system; empty: it is not known."""


def identify(pid: int) -> ProcessId | None:
    """The process that has a number now; None: there is none, or it has ended and is only not reaped yet."""
    if sys.platform == "linux":
        return _identify_in_proc(pid)
    asked = subprocess.run(["ps", "-o", "lstart=,stat=", "-p", str(pid)], capture_output=True, text=True, check=False)
    birth, _, state = asked.stdout.strip().rpartition(" ")
    return ProcessId(pid, birth.strip()) if birth and not state.startswith("Z") else None


def is_alive(process: ProcessId) -> bool:
    """Whether a process has not ended."""
    return identify(process.pid) == process


def is_session_leader(process: ProcessId) -> bool:
    """Whether a process was started as a session of its own."""
    with suppress(ProcessLookupError):
        return os.getsid(process.pid) == process.pid
    return False


def send_signal(process: ProcessId, number: signal.Signals) -> None:
    """Sends a signal to a process, unless it has ended."""
    if is_alive(process):
        with suppress(ProcessLookupError):
            os.kill(process.pid, number)


async def ended(process: ProcessId) -> None:
    """Returns when a process has ended, whoever started it. A child of this process is reaped."""
    descriptor = _open_process(process.pid)
    if descriptor is None:
        while is_alive(process):  # noqa: ASYNC110 - nothing tells
            await asyncio.sleep(LOOK_SECONDS)
    else:
        try:
            if is_alive(process):
                await _readable(descriptor)
        finally:
            os.close(descriptor)
    reap(process.pid)


def reap(pid: int) -> None:
    """Takes note of the end of a child of this process, so that the system forgets it; no other is affected."""
    with suppress(ChildProcessError):
        os.waitpid(pid, os.WNOHANG)


def processes_with(*words: str) -> list[ProcessId]:
    """The processes of this machine whose argument vectors have all these entries. Linux tells; elsewhere: none."""
    found = []
    for folder in PROC.glob("[0-9]*"):
        with suppress(OSError):
            entries = (folder / "cmdline").read_bytes().decode("utf-8", "replace").split("\0")
            if set(words) <= set(entries) and (process := identify(int(folder.name))):
                found.append(process)
    return found


def _identify_in_proc(pid: int) -> ProcessId | None:
    try:
        fields = (PROC / str(pid) / "stat").read_text("utf-8", "replace").rpartition(") ")[2].split()
        boot = (PROC / "sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else ProcessId(pid, f"{boot}/{fields[19]}")


def _open_process(pid: int) -> int | None:
    """A descriptor that becomes readable when a process ends; None: it has ended, or the system has no such thing."""
    if sys.platform != "linux":
        return None
    try:
        return os.pidfd_open(pid)
    except OSError:
        return None


async def _readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)
