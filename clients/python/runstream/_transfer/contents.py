"""What is uploaded: files of this machine, or bytes in memory."""

import hashlib
import io
import os
import stat
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from runstream.exceptions import UserErrorException

Source = Path | bytes
HASHED_BYTES: Final = 1024 * 1024
"""Between two looks at whether a digest is still wanted."""
Readable: TypeAlias = io.BufferedReader | io.BytesIO


class Content(NamedTuple):
    """What a file was when it was looked at."""

    source: Source
    digest: str
    """SHA-256 as 64 lower-case hexadecimal digits."""
    size: int
    """In bytes."""
    held: bytes | None = None
    """The bytes of a small file, where they are kept from the look at it until they are sent."""

    @contextmanager
    def open(self, start: int = 0, size: int | None = None) -> Iterator["Exactly"]:
        """The bytes, as many as there were, or so many of them from one on.

        Raises:
            UserErrorException: It cannot be read any more.
        """
        with _open(self.source if self.held is None else self.held) as file:
            file.seek(start)
            yield Exactly(file, self.size - start if size is None else size, _name(self.source))


class Exactly:
    """As many bytes of a file as it had."""

    def __init__(self, file: Readable, size: int, name: str) -> None:
        self._file = file
        self._left = size
        self._name = name

    def read(self, count: int, /) -> bytes:
        """Up to that many more bytes.

        Raises:
            UserErrorException: There are fewer now, or they cannot be read.
        """
        try:
            block = self._file.read(min(count, self._left))
        except OSError as error:
            raise _unreadable(self._name, error) from None
        if self._left and not block:
            raise changed(self._name)
        self._left -= len(block)
        return block


class GivenUp(Exception):
    """Nobody wants to know any more what a file is."""


def look_at(source: Source, unwanted: threading.Event | None = None) -> Content:
    """Digest and size of a file, which is read once.

    Raises:
        UserErrorException: It cannot be read.
        GivenUp: `unwanted` was set meanwhile.
    """
    if isinstance(source, bytes):
        return Content(source, hashlib.sha256(source).hexdigest(), len(source))
    digest, buffer = hashlib.sha256(), memoryview(bytearray(HASHED_BYTES))
    with _open(source) as file:
        try:
            while count := file.readinto(buffer):
                digest.update(buffer[:count])
                if unwanted is not None and unwanted.is_set():
                    raise GivenUp
        except OSError as error:
            raise _unreadable(str(source), error) from None
        return Content(source, digest.hexdigest(), file.tell())


def read(source: Source, size: int) -> Content:
    """Digest and bytes of a small file that has so many bytes, more than none; of one that grows, the first of them.

    Raises:
        UserErrorException: It cannot be read.
    """
    data = source if isinstance(source, bytes) else _first(source, size)
    return Content(source, hashlib.sha256(data).hexdigest(), len(data), data)


def size_of(source: Source) -> int:
    """How many bytes a file has; 0: none, or it is only known once it is read, as that of a pipe.

    Raises:
        UserErrorException: It is not there.
    """
    if isinstance(source, bytes):
        return len(source)
    try:
        status = source.stat()
    except OSError as error:
        raise _unreadable(str(source), error) from None
    return status.st_size if stat.S_ISREG(status.st_mode) else 0


def changed(name: str) -> UserErrorException:
    """The error of a file that is written to while it is uploaded."""
    return UserErrorException(f"{name} was changed while it was uploaded; upload it again.", reason="FILE_CHANGED")


def name_of(content: Content) -> str:
    """What to call it."""
    return _name(content.source)


def _name(source: Source) -> str:
    return "A stream" if isinstance(source, bytes) else str(source)


@contextmanager
def _open(source: Source) -> Iterator[Readable]:
    if isinstance(source, bytes):
        yield io.BytesIO(source)
        return
    try:
        file = source.open("rb")
    except OSError as error:
        raise _unreadable(str(source), error) from None
    with file:
        yield file


def _first(file: Path, size: int) -> bytes:
    """The first bytes of a file. The calls of the system: a file object takes as long as hashing what is in it."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, size)
            while len(data) < size and (more := os.read(descriptor, size - len(data))):
                data += more
            return data
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _unreadable(str(file), error) from None


def _unreadable(name: str, error: OSError) -> UserErrorException:
    return UserErrorException(f"{name} cannot be read: {error.strerror}.", error)
