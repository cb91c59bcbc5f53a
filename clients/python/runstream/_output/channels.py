"""Ways that printed text takes, turned so that it passes the tee."""

import array
import contextlib
import fcntl
import json
import os
import socket
import struct
import sys
import termios
from collections.abc import Collection, Sequence
from typing import Any, Final

from runstream._output.copies import Copied
from runstream._output.descriptors import Command, close, high
from runstream._output.passage import Passage, has_writers

LENGTH: Final = struct.Struct("<I")


def send(control: socket.socket, do: str, descriptors: Sequence[int], **fields: Any) -> None:
    """Sends the tee a command; in one piece, so that forked processes may do so at the same time.

    Raises:
        OSError: The tee is gone.
    """
    text = json.dumps({"do": do, **fields}).encode()
    beside = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
    control.sendmsg([LENGTH.pack(len(text)) + text], beside)


class Redirected:
    """Standard output or standard error of the system, or both where they are the same: a pipe in their place.

    Where they are a terminal it is a terminal of its own, so that programs draw and colour as they would.
    """

    def __init__(self, descriptors: Sequence[int]) -> None:
        self._descriptors = descriptors
        self._original = high(descriptors[0])
        self._reading = -1

    def turn(self) -> None:
        """Puts a new pipe in the place of the descriptors; in a forked process as well.

        Raises:
            OSError: The system has none left.
        """
        close(self._reading)
        reading, writing = self._pair()
        self._reading = high(reading)
        os.close(reading)
        for number in self._descriptors:
            os.dup2(writing, number)
        os.close(writing)

    def announce(self, command: Command, chain: Sequence[int]) -> None:
        """Tells the tee to read it."""
        command("listen", [self._reading, self._original], chain=list(chain))

    def restore(self) -> None:
        """Puts everything back as it was."""
        for number in self._descriptors:
            with contextlib.suppress(OSError):
                os.dup2(self._original, number)

    def rescue(self) -> None:
        """Writes what nobody has read to where it was meant to go."""
        with contextlib.suppress(OSError):
            os.set_blocking(self._reading, False)
            while data := os.read(self._reading, 65_536):
                os.write(self._original, data)

    def pass_on(self) -> Passage | None:
        """Lets programs that print here go on, where the tee is gone; None: there are none."""
        if self._reading < 0 or not has_writers(self._reading):
            return None
        passage = Passage(self._reading, self._original)
        self._reading = self._original = -1
        return passage

    def close(self) -> None:
        """Gives back what is left."""
        close(self._reading)
        close(self._original)

    def _pair(self) -> tuple[int, int]:
        if os.isatty(self._original):
            with contextlib.suppress(OSError, termios.error):
                return _terminal_like(self._original)
        return os.pipe()


def standard_channels() -> "list[Redirected | Copied]":
    """The ways that the text of this process takes now."""
    groups = [group for group in _groups() if not _watched().intersection(group)]
    covered = {number for group in groups for number in group}
    streams = [stream for stream in _streams() if not _leads_to(stream, covered) and hasattr(stream, "__dict__")]
    channels: list[Redirected | Copied] = [Redirected(group) for group in groups]
    return [*channels, Copied(streams)] if streams else channels


def buffer_lines() -> list[Any]:
    """Lets what is printed leave this process with each line; returns the streams that did not do so before."""
    changed = [
        stream
        for stream in _streams()
        if _number(stream) in (1, 2) and getattr(stream, "line_buffering", True) is False
    ]
    for stream in changed:
        with contextlib.suppress(Exception):
            stream.reconfigure(line_buffering=True)
    return changed


def buffer_blocks(streams: Sequence[Any]) -> None:
    """Undoes `buffer_lines`."""
    for stream in streams:
        with contextlib.suppress(Exception):
            stream.reconfigure(line_buffering=False)


def flush_streams() -> None:
    """Lets go of what Python and the C library still hold."""
    for stream in _streams():
        with contextlib.suppress(Exception):
            stream.flush()
    with contextlib.suppress(Exception):
        import ctypes

        libc = ctypes.CDLL(None)
        libc.fflush(ctypes.c_void_p.in_dll(libc, "__stdoutp" if sys.platform == "darwin" else "stdout"))


def _streams() -> list[Any]:
    found = [stream for stream in (sys.stdout, sys.stderr) if stream is not None]
    return found[:1] if len(found) == 2 and found[0] is found[1] else found


def _number(stream: Any) -> int:
    try:
        number: int = stream.fileno()
    except Exception:  # noqa: BLE001 - whatever a program put in the place of a stream
        return -1
    return number


def _watched() -> set[int]:
    """The descriptors that a notebook redirects itself: its streams print, and echo, what native code writes there."""
    streams = [stream for stream in _streams() if getattr(stream, "_original_stdstream_copy", None) is not None]
    return {stream._original_stdstream_fd for stream in streams}


def _leads_to(stream: Any, numbers: Collection[int]) -> bool:
    """Whether what is printed to a stream is written to a descriptor among `numbers`, if only as an echo."""
    return _number(stream) in numbers or _number(getattr(stream, "echo", None)) in numbers


def _groups() -> list[tuple[int, ...]]:
    """The descriptors of standard output and standard error, together where they lead to the same place."""
    found = [number for number in (1, 2) if _is_standard(number)]
    if len(found) == 2 and os.path.samestat(os.fstat(1), os.fstat(2)):
        return [(1, 2)]
    return [(number,) for number in found]


def _is_standard(number: int) -> bool:
    """Whether a descriptor is what was given to this process to print to.

    Where that is closed, its number is taken by the next thing that is opened, to which nothing may be printed. Python
    keeps that from the programs it starts.
    """
    try:
        return not fcntl.fcntl(number, fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    except OSError:
        return False


def _terminal_like(original: int) -> tuple[int, int]:
    """Both ends of a terminal that looks like another one and passes bytes on as they are."""
    reading, writing = os.openpty()
    attributes = termios.tcgetattr(original)
    attributes[1] &= ~termios.OPOST
    termios.tcsetattr(writing, termios.TCSANOW, attributes)
    fcntl.ioctl(writing, termios.TIOCSWINSZ, fcntl.ioctl(original, termios.TIOCGWINSZ, bytes(8)))
    return reading, writing
