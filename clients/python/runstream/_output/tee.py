"""The process that reads what others print: it writes each piece to log files, then to where it was meant to go.

It is run as a file of its own, with nothing but the standard library, and outlives who prints: what a killed process
had printed is recorded. It ends when nobody can print or command any more.

A command is its length (u32), then JSON, with descriptors beside it:

    listen   chain                    [from, to]     reads `from` and forwards to `to`, if there is one; `chain` are the
                                                     ids of the process that prints and of those it was forked from
    record   folder, process, first, step, limit [file]
                                                     from now on writes what `process` and those below it print; `file`
                                                     is the open, locked log file of `process` itself
    leave    folder                   [answer]       ends that, and closes `answer`
    sync                              [answer]       closes `answer` once everything printed so far is written
"""

import contextlib
import fcntl
import json
import math
import os
import select
import signal
import socket
import struct
import sys
import termios
import time
from typing import Any

READ_BYTES = 64 * 1024
SYNC_BYTES = 4 * 1024 * 1024
"""How much is read at most of one who prints for one command; who prints faster than that is never done."""
HOLD_SECONDS = 0.02
"""How long the beginning of a line waits for its end, so that nobody else's text comes in between."""
CHECK_BYTES = 256 * 1024
"""After how many bytes the room on the disk is looked at."""
FREE_SHARE = 0.01
FULL = "the limit of the spool is reached (RUNSTREAM_SPOOL_LIMIT, or the disk is nearly full)"
MAX_DESCRIPTORS = 8
LENGTH = struct.Struct("<I")
IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP)
"""Meant for who prints; this process reads to the end."""


class Unwritten(OSError):
    """Bytes that could not be written."""

    def __init__(self, number: int | None, message: str, count: int) -> None:
        super().__init__(number, message)
        self.count = count


class Source:
    """What one process prints, on one way."""

    def __init__(self, reading: int, target: int | None, chain: list[int]) -> None:
        self.reading = reading
        self.target = target
        self.chain = tuple(chain)
        self.is_new = True
        self.held = b""
        """The beginning of a line that is not recorded yet."""
        self.held_time = 0.0
        self._size = b""

    @property
    def process(self) -> int:
        """Who prints."""
        return self.chain[-1]

    def read(self) -> bytes | None:
        """What was printed; None when there is nothing now, and no bytes at the end of it."""
        try:
            return os.read(self.reading, READ_BYTES)
        except BlockingIOError:
            return None
        except OSError:  # a terminal that nobody has open any more
            return b""

    def forward(self, data: bytes) -> None:
        """Writes to where it was meant to go, as long as that is there."""
        if self.target is None:
            return
        try:
            write_all(self.target, data)
        except OSError:
            os.close(self.target)
            self.target = None
        else:
            self._keep_size(self.target)

    def close(self) -> None:
        """Closes both ends."""
        os.close(self.reading)
        if self.target is not None:
            os.close(self.target)

    def _keep_size(self, target: int) -> None:
        """Gives a terminal the size of the one it stands for."""
        with contextlib.suppress(OSError):
            size = fcntl.ioctl(target, termios.TIOCGWINSZ, bytes(8))
            if size != self._size:
                fcntl.ioctl(self.reading, termios.TIOCSWINSZ, size)
                self._size = size


class LogFile:
    """A log file that is locked as long as it is written."""

    def __init__(self, file: int, limit: int) -> None:
        self._file = file
        self._limit = limit
        self._unchecked = 0
        self._is_full = False
        self._lost = 0
        self._reason = ""

    def write(self, data: bytes) -> None:
        """Appends; what there is no room for is counted, and the count is written where it is missing."""
        self._check(len(data))
        if self._is_full:
            self._lose(len(data), FULL)
            return
        try:
            self._tell_lost()
            write_all(self._file, data)
        except Unwritten as error:
            self._lose(error.count, os.strerror(error.errno or 0))

    def close(self) -> None:
        """Closes it."""
        with contextlib.suppress(OSError):
            self._tell_lost()
        os.close(self._file)

    def _check(self, count: int) -> None:
        self._unchecked -= count
        if self._unchecked > 0:
            return
        self._unchecked = CHECK_BYTES
        with contextlib.suppress(OSError):
            disk = os.fstatvfs(self._file)
            used = os.fstat(self._file).st_blocks * 512  # without what was stored and given back
            self._is_full = used >= self._limit or disk.f_bavail < FREE_SHARE * disk.f_blocks

    def _lose(self, count: int, reason: str) -> None:
        self._lost, self._reason = self._lost + count, reason

    def _tell_lost(self) -> None:
        if self._lost:
            note = f"\n[runstream: {self._lost} bytes that were printed here are not recorded: {self._reason}]\n"
            write_all(self._file, note.encode())
            self._lost = 0


class Recording:
    """The log files of one process and of those that it forks, a file for each."""

    def __init__(self, folder: str, process: int, first: int, step: int, limit: int, file: int) -> None:
        self._folder = folder
        self._process = process
        self._first = first
        self._step = step
        self._limit = limit
        self._places = {process: 0}
        self._files = {0: LogFile(file, limit)}

    def write(self, source: Source, data: bytes) -> None:
        """Appends what a process printed to its file; a new one gets the first file that is free."""
        if self._process not in source.chain:
            return
        place = self._places.get(source.process)
        if place is None:
            place = self._places[source.process] = self._free_place()
        if place not in self._files:
            with contextlib.suppress(OSError):
                self._files[place] = LogFile(self._open(place), self._limit)
        if place in self._files:
            self._files[place].write(data)

    def forget(self, process: int) -> None:
        """Frees the file of a process that prints nothing any more for another one."""
        if process != self._process:
            self._places.pop(process, None)

    def close(self) -> None:
        """Closes all files."""
        for file in self._files.values():
            file.close()

    def _free_place(self) -> int:
        taken = set(self._places.values())
        return next(place for place in range(len(taken) + 1) if place not in taken)

    def _open(self, place: int) -> int:
        name = f"std_log_process_{self._first + place * self._step:02}.txt"
        file = os.open(f"{self._folder}/{name}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with contextlib.suppress(OSError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return file


class Tee:
    """Reads all who print and obeys who commands."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._sources: dict[int, Source] = {}
        self._recordings: dict[str, Recording] = {}
        self._poll = select.poll()
        self._poll.register(control.fileno(), select.POLLIN)
        self._is_commanded = True

    def run(self) -> None:
        """Returns when nobody can print or command any more."""
        is_holding = False
        while self._is_commanded or self._sources:
            ready = [number for number, _ in self._poll.poll(HOLD_SECONDS * 1000 if is_holding else None)]
            while self._is_commanded and _has_data(self._control.fileno()):
                self._obey()  # first: what was printed after a command is read after it
            for number in ready:
                if number in self._sources:
                    self._copy(self._sources[number])
            is_holding = self._release(time.monotonic() - HOLD_SECONDS)
        for recording in self._recordings.values():
            recording.close()

    def _copy(self, source: Source) -> None:
        if source.is_new:
            source.is_new = False
            self._drain(source)  # so that those that have ended make way
        data = source.read()
        if not data:
            if data is not None:
                self._end(source)
            return
        text = source.held + data
        end = max(text.rfind(b"\n"), text.rfind(b"\r")) + 1 if len(text) < READ_BYTES else len(text)
        source.held, source.held_time = text[end:], time.monotonic()
        self._write(source, text[:end])
        source.forward(data)

    def _write(self, source: Source, text: bytes) -> None:
        if text:
            for recording in self._recordings.values():
                recording.write(source, text)

    def _release(self, since: float) -> bool:
        """Records the beginnings of lines that are held since some time; whether others are held."""
        held = [source for source in self._sources.values() if source.held]
        for source in held:
            if source.held_time <= since:
                text, source.held = source.held, b""
                self._write(source, text)
        return any(source.held for source in held)

    def _end(self, source: Source) -> None:
        self._write(source, source.held)
        self._poll.unregister(source.reading)
        del self._sources[source.reading]
        source.close()
        if all(other.process != source.process for other in self._sources.values()):
            for recording in self._recordings.values():
                recording.forget(source.process)

    def _obey(self) -> None:
        head, descriptors, _, _ = socket.recv_fds(self._control, LENGTH.size, MAX_DESCRIPTORS)
        if len(head) < LENGTH.size:
            self._poll.unregister(self._control.fileno())
            self._is_commanded = False
            return
        command: dict[str, Any] = json.loads(self._control.recv(LENGTH.unpack(head)[0], socket.MSG_WAITALL))
        getattr(self, f"_{command.pop('do')}")(descriptors, **command)

    def _listen(self, descriptors: list[int], chain: list[int]) -> None:
        reading, *target = descriptors
        os.set_blocking(reading, False)
        self._sources[reading] = Source(reading, target[0] if target else None, chain)
        self._poll.register(reading, select.POLLIN)

    def _record(self, descriptors: list[int], folder: str, process: int, first: int, step: int, limit: int) -> None:
        self._recordings[folder] = Recording(folder, process, first, step, limit, descriptors[0])

    def _leave(self, descriptors: list[int], folder: str) -> None:
        self._drain()
        recording = self._recordings.pop(folder, None)
        if recording is not None:
            recording.close()
        os.close(descriptors[0])

    def _sync(self, descriptors: list[int]) -> None:
        self._drain()
        os.close(descriptors[0])

    def _drain(self, new: Source | None = None) -> None:
        """Copies what was printed before now, but for what a new one has printed."""
        sources = list(self._sources.values())
        for source in sources:
            source.is_new = False
        for source in sources:
            left = 0 if source is new else SYNC_BYTES
            while left > 0 and source.reading in self._sources and _has_data(source.reading):
                self._copy(source)
                left -= READ_BYTES
        if new is None:
            self._release(math.inf)


def write_all(file: int, data: bytes) -> None:
    """Writes all of it.

    Raises:
        Unwritten: Not all could be written.
    """
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(file, view) :]
        except BlockingIOError:  # a terminal or a pipe that somebody else set up so
            _await_room(file)
        except OSError as error:
            raise Unwritten(error.errno, os.strerror(error.errno or 0), len(view)) from None


def _await_room(file: int) -> None:
    poll = select.poll()
    poll.register(file, select.POLLOUT)
    poll.poll()


def _has_data(file: int) -> bool:
    poll = select.poll()
    poll.register(file, select.POLLIN)
    return bool(poll.poll(0))


def main() -> None:
    """Serves whoever is at the other end of the socket that the first argument numbers."""
    for number in IGNORED:
        signal.signal(number, signal.SIG_IGN)
    Tee(socket.socket(fileno=int(sys.argv[1]))).run()


if __name__ == "__main__":
    main()
