"""Starts a program that must not outlive us, as another user where needed: a script of the standard library alone.

`python launch.py PARENT USER GROUP PROGRAM ARGUMENT...` becomes PROGRAM by exec. USER and GROUP are numbers, or -1 to
stay who we are. It runs in a process of its own, not between fork and exec of a process with threads.
"""

import ctypes
import os
import signal
import sys
from pathlib import Path
from typing import NoReturn

CANNOT_START = 78

PR_SET_PDEATHSIG = 1
PR_SET_KEEPCAPS = 8
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_RAISE = 2
CAP_DAC_OVERRIDE = 1
CAP_DAC_READ_SEARCH = 2
LINUX_CAPABILITY_VERSION_3 = 0x20080522


class CapabilityHeader(ctypes.Structure):
    """`struct __user_cap_header_struct`."""

    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class CapabilityData(ctypes.Structure):
    """`struct __user_cap_data_struct`."""

    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def die_with(parent: int, death_signal: signal.Signals) -> None:
    """Has this process signalled when the thread of process `parent` that started it ends; only Linux can do that."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(death_signal), 0, 0, 0)
    if os.getppid() != parent:
        sys.exit(CANNOT_START)


def become(user: int, group: int) -> None:
    """Gives up root for another user, who still reaches files below folders that only root may enter.

    The folder of the data and the Python environment can lie below folders of mode 0700 that are not ours to open up.
    """
    libc = ctypes.CDLL(None) if sys.platform == "linux" else None
    if libc:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(group)
    os.setuid(user)
    if libc:
        keep_capabilities(libc, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH)


def keep_capabilities(libc: ctypes.CDLL, *capabilities: int) -> None:
    """Keeps these, and no others, through exec; those that are not to be had are gone, which `check` then finds."""
    header, data = CapabilityHeader(LINUX_CAPABILITY_VERSION_3, 0), (CapabilityData * 2)()
    libc.capget(ctypes.byref(header), ctypes.byref(data))
    mask = sum(1 << capability for capability in capabilities) & data[0].permitted
    data[0], data[1] = CapabilityData(mask, mask, mask), CapabilityData(0, 0, 0)
    libc.capset(ctypes.byref(header), ctypes.byref(data))
    for capability in capabilities:
        libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0)


def check(program: Path) -> None:
    """Refuses, naming the folder, when the user we have become cannot reach the program or this folder."""
    for path in (program, Path.cwd()):
        for folder in (*reversed(path.parents), *([path] if path.is_dir() else [])):
            if not reachable(folder):
                refuse(f"{folder} cannot be entered by user {os.geteuid()}; run as an ordinary user, or chmod o+x it")


def reachable(folder: Path) -> bool:
    """Tells whether this process may enter a folder, by doing so."""
    try:
        os.stat(f"{folder}/.")  # noqa: PTH116 - Path drops the dot, which is what asks to enter
    except PermissionError:
        return False
    return True


def refuse(problem: str) -> NoReturn:
    """Ends with a message for whoever reads the program's log."""
    sys.stderr.write(f"cannot start: {problem}\n")
    sys.exit(CANNOT_START)


def main(parent: str, user: str, group: str, program: str, *arguments: str) -> None:
    """Becomes the program."""
    os.umask(0o077)
    if int(user) >= 0:
        try:
            become(int(user), int(group))
        except OSError as error:
            refuse(f"user {user} is not to be had ({error}); run as an ordinary user")
        check(Path(program))
    die_with(int(parent), signal.SIGINT)
    try:
        os.execv(program, [program, *arguments])  # noqa: S606
    except OSError as error:
        refuse(f"{program}: {error.strerror}")


if __name__ == "__main__":
    main(*sys.argv[1:])
