"""Descriptors of ours, out of the way of those of the program."""

import contextlib
import errno
import fcntl
import os
from collections.abc import Callable
from typing import Final

HIGH: Final = 64
"""Ours are above this, so that programs that expect low ones find them."""

Command = Callable[..., None]
"""Sends a command to the tee: what to do, its descriptors, its other fields."""


def high(descriptor: int) -> int:
    """A copy of a descriptor among those of ours.

    Raises:
        OSError: The system has none left.
    """
    try:
        return fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, HIGH)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
        return os.dup(descriptor)


def close(descriptor: int) -> None:
    """Closes a descriptor, if it is one."""
    if descriptor >= 0:
        with contextlib.suppress(OSError):
            os.close(descriptor)
