"""Files that are being downloaded, which become what they are to be when all of it is there and right."""

import hashlib
import os
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from runstream._spool.lock import is_at, try_lock
from runstream._transfer.http import TransferFailed
from runstream._transfer.progress import Meter
from runstream.api.artifacts.v1.artifact_service_pb2 import Artifact


@contextmanager
def replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` when it is complete and vanishes when it is not."""
    partial = _beside(target)
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def write_whole(target: Path, data: bytes, *, executable: bool = False) -> None:
    """Writes a small file, which becomes `target` when it is complete.

    By the calls of the system: a file object takes longer than the bytes.
    """
    partial = _beside(target)
    file = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o777 if executable else 0o666)
    try:
        try:
            rest = memoryview(data)
            while rest:
                rest = rest[os.write(file, rest) :]
        finally:
            os.close(file)
        partial.replace(target)
    except BaseException:
        partial.unlink()
        raise


def _beside(target: Path) -> Path:
    """A name in the same folder that nobody else has."""
    return target.with_name(f".{uuid.uuid4().hex}.partial")


def damaged(artifact: Artifact) -> TransferFailed:
    """The error of bytes that are not what they should be."""
    return TransferFailed(f"the bytes of {artifact.path!r} are not those stored", transient=True)


class Sequential:
    """A file that comes from its beginning to its end."""

    def __init__(self, file: IO[bytes], artifact: Artifact, meter: Meter) -> None:
        self._file = file
        self._artifact = artifact
        self._meter = meter
        self._digest = hashlib.sha256()
        self.size = 0
        """How many bytes have arrived."""

    @property
    def is_complete(self) -> bool:
        """Whether there are as many bytes as there should be."""
        return self.size >= self._artifact.size_bytes

    def take(self, start: int, block: bytes | memoryview) -> None:
        """Takes the bytes from `start` on; from 0 on, all come again."""
        if start != self.size:
            self._restart()
        self._file.write(block)
        self._digest.update(block)
        self.size += len(block)
        self._meter.advance(len(block))

    def check(self) -> None:
        """Sees that the bytes are right.

        Raises:
            TransferFailed: They are not; all have to come again.
        """
        if self._digest.hexdigest() != self._artifact.digest:
            self._restart()
            raise damaged(self._artifact)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()
        self._meter.advance(-self.size)
        self.size = 0


class Ranges:
    """A large file that comes in ranges, in any order. What has arrived stays when the download breaks:

    <folder>/.<digest>.partial     the bytes, as many as there will be
    <folder>/.<digest>.ranges      the numbers of the ranges that are there, one a line

    Somebody else who downloads the same bytes into the same folder at the same time has files of another name, of which
    nothing stays. So has everybody where the disk knows no locks.
    """

    def __init__(self, target: Path, artifact: Artifact, range_bytes: int) -> None:
        self._target = target
        self._artifact = artifact
        self._range_bytes = range_bytes
        self._file = -1
        self._users = 0
        self._free = threading.Condition()
        self._is_own = False
        self._partial = target.with_name(f".{artifact.digest}.partial")
        self._digest = hashlib.sha256()
        self._hashed = 0
        self._done: set[int] = set()

    @property
    def size(self) -> int:
        """How many bytes there will be."""
        return self._artifact.size_bytes

    @property
    def count(self) -> int:
        """How many ranges there are."""
        return -(-self._artifact.size_bytes // self._range_bytes)

    @property
    def missing(self) -> list[int]:
        """The numbers of the ranges that have not arrived, from 0."""
        return [number for number in range(self.count) if number not in self._done]

    def bounds(self, number: int) -> tuple[int, int]:
        """Where a range begins and ends."""
        start = number * self._range_bytes
        return start, min(start + self._range_bytes, self._artifact.size_bytes)

    @contextmanager
    def open(self) -> Iterator[None]:
        """Has the file open. Threads that are still within it at the end find it closed.

        Raises:
            OSError: It cannot be written.
        """
        self._file = self._lock()
        try:
            os.truncate(self._file, self._artifact.size_bytes)
            self._done = self._noted()
            yield
        finally:
            self._close()

    def _close(self) -> None:
        """Closes the file when nobody is within it: its number is soon that of another file."""
        with self._free:
            file, self._file = self._file, -1
            self._free.wait_for(lambda: not self._users)
        if self._is_own:
            self._partial.unlink(missing_ok=True)
            self._notes.unlink(missing_ok=True)
        os.close(file)

    @contextmanager
    def _using(self) -> Iterator[int]:
        """The open file, which nobody closes meanwhile."""
        with self._free:
            if self._file < 0:
                raise TransferFailed("the transfer was given up", transient=False)
            self._users += 1
        try:
            yield self._file
        finally:
            with self._free:
                self._users -= 1
                self._free.notify_all()

    def write(self, at: int, block: bytes | memoryview) -> None:
        """Puts bytes to their place."""
        with self._using() as file:
            while block:
                count = os.pwrite(file, block, at)
                at, block = at + count, block[count:]

    def note(self, number: int) -> None:
        """Takes note that a range has arrived."""
        with self._using(), self._notes.open("a") as notes:
            notes.write(f"{number}\n")
        self._done.add(number)

    def hash(self) -> None:
        """Hashes the next range, which must have arrived."""
        at, end = self.bounds(self._hashed)
        while at < end:
            with self._using() as file:
                block = os.pread(file, min(1024 * 1024, end - at), at)
            self._digest.update(block)
            at += len(block)
        self._hashed += 1

    def finish(self) -> None:
        """Makes it what it is to be, when everything is hashed.

        Raises:
            TransferFailed: The bytes are not right; all of them are gone.
        """
        is_right = self._digest.hexdigest() == self._artifact.digest
        if is_right:
            self._partial.replace(self._target)
        else:
            self._partial.unlink(missing_ok=True)
        self._notes.unlink(missing_ok=True)
        if not is_right:
            raise damaged(self._artifact)

    @property
    def _notes(self) -> Path:
        return self._partial.with_suffix(".ranges")

    def _lock(self) -> int:
        file = os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o666)
        with suppress(OSError):  # there are disks without locks
            if try_lock(file) and is_at(file, self._partial):  # else its owner has just made it the target
                return file
        os.close(file)
        self._is_own = True
        self._partial = _beside(self._target)
        return os.open(self._partial, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)

    def _noted(self) -> set[int]:
        """What has arrived earlier; the first line says how large a range was."""
        heading = f"{self._range_bytes} {self._artifact.size_bytes}"
        with suppress(OSError, ValueError):
            first, *lines = self._notes.read_text().split("\n")
            if first == heading:
                return {int(line) for line in lines[:-1]}  # the last one may be cut
        self._notes.write_text(f"{heading}\n")
        return set()
