"""Turns what this process prints so that it passes the tee, as long as anybody records it."""

import atexit
import contextlib
import logging
import os
import select
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from runstream._channel.threads import start_thread
from runstream._output import tee
from runstream._output.channels import (
    Redirected,
    buffer_blocks,
    buffer_lines,
    flush_streams,
    send,
    standard_channels,
)
from runstream._output.copies import Copied
from runstream._output.descriptors import close, high
from runstream._output.passage import Passage
from runstream._spool import run_spool as _later_at_exit  # noqa: F401  (what is registered last comes first)
from runstream._spool.lock import try_lock

ANSWER_SECONDS: Final = 5.0
"""How long the tee is waited for: it may be held up by a terminal that shows nothing more."""
TEND_SECONDS: Final = 1.0
MAX_LAUNCHES: Final = 4
"""Tees that one process starts at most; each takes over from one that was killed."""

_logger = logging.getLogger("runstream")


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is to be recorded."""

    folder: str
    """Where the log files are."""
    process: int
    """Who prints: this process and those forked from it."""
    first: int
    """The number of this process among those of the run."""
    step: int
    """What the number of each further file of this process adds to it."""
    limit: int
    """How many bytes each file may take on the disk."""


class Tap:
    """What this process prints, on its way through the tee. Thread-safe; a forked process goes on by itself.

    When the tee is killed, whoever prints waits, with the lock of its stream, until `_guard` has put another way in
    place. So nobody waits for the lock of a stream while he holds that of the tap.
    """

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._channels: list[Redirected | Copied] = []
        self._buffered: list[Any] = []
        self._records: dict[str, tuple[Record, Path]] = {}
        self._tended: dict[str, Callable[[], None]] = {}
        self._chain = [os.getpid()]
        self._control: socket.socket | None = None
        self._tees: list[subprocess.Popen[bytes]] = []
        self._passages: list[Passage] = []
        self._launches = 0
        self._wake = -1

    def record(self, record: Record, file: Path, tend: Callable[[], None] = lambda: None) -> None:
        """Records what is printed from now on, this process's own text in `file`, which exists.

        `tend` is called every second meanwhile.

        Raises:
            OSError: It cannot be done; everything is as it was.
        """
        flush_streams()
        with self._lock:
            if self._channels:
                self._ask("sync")
            else:
                self._turn()
            self._records[record.folder] = record, file
            self._tended[record.folder] = tend
            self._command_record(record, file)

    def leave(self, folder: str) -> None:
        """Ends a recording, if there is one; returns when everything printed before is in its file."""
        if folder in self._records:
            flush_streams()
        with self._lock:
            self._leave(folder)

    def _leave(self, folder: str) -> None:
        if self._records.pop(folder, None) is None:
            return
        self._tended.pop(folder, None)
        if self._records or self._is_branch:
            self._ask("leave", folder=folder)
        else:
            self._end("leave", folder=folder)

    def sync(self) -> None:
        """Returns when everything printed before is in its file."""
        if self._channels:
            flush_streams()
        with self._lock:
            if self._channels:
                self._ask("sync")

    def stop(self) -> None:
        """Ends all recordings, and puts everything back as it was."""
        if self._channels:
            flush_streams()
        with self._lock:
            for folder in list(self._records):
                self._leave(folder)
            if self._channels:  # in a forked process whose parent records
                self._end("sync")

    def branch(self) -> None:
        """In a forked process: lets its text take ways of its own, so that it has files of its own."""
        self._lock = threading.RLock()
        _disown(self._tees)
        for passage in self._passages:
            passage.leave_parent()
        self._records, self._tended, self._tees, self._passages = {}, {}, [], []
        close(self._wake)
        self._wake = -1
        if not self._channels:
            return
        self._chain.append(os.getpid())
        try:
            self._turn_channels()
        except OSError:
            self._give_up()

    def hand_over(self) -> None:
        """At the exit of the process: has a tee pass on what programs print that this process started."""
        passages = [passage for passage in self._passages if passage.is_open]
        if not passages:
            return
        with contextlib.suppress(OSError):
            self._launch()
            for passage in passages:
                passage.announce(self._command)

    @property
    def _is_branch(self) -> bool:
        return len(self._chain) > 1

    @property
    def _is_alone(self) -> bool:
        """Whether the tee is gone: it never says anything, so its end is all there can be to hear."""
        if self._control is None:
            return True
        poll = select.poll()
        poll.register(self._control.fileno(), select.POLLIN)
        return bool(poll.poll(0))

    def _turn(self) -> None:
        self._chain, self._launches = [os.getpid()], 0
        try:
            self._channels = standard_channels()
            self._launch()
            self._buffered = buffer_lines()
            self._turn_channels()
        except BaseException:
            self._give_up()
            raise

    def _turn_channels(self) -> None:
        for channel in self._channels:
            channel.turn()
            channel.announce(self._command, self._chain)
        self._watch()

    def _launch(self) -> None:
        if not sys.executable:
            raise OSError("this Python does not know its own executable")
        self._launches += 1
        self._reap()
        ours, theirs = map(_moved, socket.socketpair())
        with theirs:
            self._tees.append(
                subprocess.Popen(
                    [sys.executable, "-I", "-S", str(Path(tee.__file__)), str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                    cwd="/",
                    pass_fds=(theirs.fileno(),),
                    start_new_session=True,
                )
            )
        self._control = ours

    def _end(self, do: str, **fields: Any) -> None:
        """Puts everything back as it was; returns when all that was printed before is written."""
        self._restore()
        self._ask(do, **fields)
        if self._is_alone:
            self._rescue()
        self._unbuffer()
        self._close()

    def _watch(self) -> None:
        """Has a thread notice the end of the tee: without one that reads, a program that prints would be held."""
        control = self._control
        assert control is not None
        waiting, self._wake = os.pipe()
        thread = threading.Thread(target=self._guard, args=(control, waiting), name="runstream-tee", daemon=True)
        if not start_thread(thread):
            os.close(waiting)

    def _guard(self, control: socket.socket, waiting: int) -> None:
        poll = select.poll()
        poll.register(control.fileno(), select.POLLIN)
        poll.register(waiting, select.POLLIN)
        while not (ready := [number for number, _ in poll.poll(TEND_SECONDS * 1000)]):
            self._tend()
        os.close(waiting)
        if control.fileno() in ready:
            with self._lock:
                if control is self._control and self._channels:
                    self._replace()

    def _tend(self) -> None:
        for tend in list(self._tended.values()):
            tend()

    def _replace(self) -> None:
        """Has another tee go on where one was killed; what it had read and not written is lost."""
        close(self._wake)
        self._reap()
        try:
            if self._is_branch or self._launches >= MAX_LAUNCHES:
                raise OSError("the process that copies it was killed")
            self._launch()
            for channel in self._channels:
                channel.announce(self._command, self._chain)
            for record, file in self._records.values():
                self._command_record(record, file)
            self._watch()
        except OSError as error:
            self._give_up()
            _logger.warning("Runstream: what this process prints is not recorded any further: %s", error)

    def _give_up(self) -> None:
        self._restore()
        self._rescue()  # lets go on who prints and holds the lock of a stream meanwhile
        self._unbuffer()
        self._rescue()
        self._close()

    def _rescue(self) -> None:
        for channel in self._channels:
            channel.rescue()

    def _restore(self) -> None:
        for channel in self._channels:
            channel.restore()

    def _unbuffer(self) -> None:
        buffer_blocks(self._buffered)
        self._buffered = []

    def _close(self) -> None:
        is_alone = self._is_alone
        for channel in self._channels:
            if is_alone and (passage := channel.pass_on()) is not None:
                self._passages.append(passage)
            channel.close()
        self._channels = []
        close(self._wake)
        self._wake = -1
        if self._control is not None:
            self._control.close()
            self._control = None
        self._reap()

    def _reap(self) -> None:
        """Forgets the tees that have ended: one lives as long as anybody prints, forked processes for example."""
        self._tees[:] = [process for process in self._tees if process.poll() is None]

    def _command(self, do: str, descriptors: Sequence[int], **fields: Any) -> None:
        if self._control is None:
            raise OSError("nobody copies what is printed")
        send(self._control, do, descriptors, **fields)

    def _command_record(self, record: Record, file: Path) -> None:
        opened = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CLOEXEC)
        try:
            try_lock(opened)  # the tee keeps it as long as it writes
            self._command("record", [opened], **vars(record))
        finally:
            os.close(opened)

    def _ask(self, do: str, **fields: Any) -> None:
        """Sends a command and waits until it is done, or cannot be."""
        answer, given = os.pipe()
        try:
            with contextlib.suppress(OSError):
                self._command(do, [given], **fields)
        finally:
            os.close(given)
        poll = select.poll()
        poll.register(answer, select.POLLIN)
        poll.poll(ANSWER_SECONDS * 1000)
        os.close(answer)


def _disown(tees: list["subprocess.Popen[bytes]"]) -> None:
    """Leaves processes to themselves that have not ended."""
    for process in tees:
        process.returncode = 0


def _moved(end: socket.socket) -> socket.socket:
    """The same socket under a number that is none of a standard stream's, whichever of them this process lacks."""
    with end:
        return socket.socket(fileno=high(end.fileno()))


def _leave() -> None:
    """At the exit of the process."""
    _tap.stop()
    _tap.hand_over()
    _disown(_tap._tees)


def the_tap() -> Tap:
    """The one of this process."""
    return _tap


_tap = Tap()
atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_tap.branch)
