"""What is uploaded: files of this machine, or bytes in memory."""

import hashlib
import io
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple, TypeAlias

from runstream.exceptions import UserErrorException

Source = Path | bytes
Readable: TypeAlias = io.BufferedReader | io.BytesIO


class Content(NamedTuple):
    """What a file was when it was looked at."""

    source: Source
    digest: str
    """SHA-256 as 64 lower-case hexadecimal digits."""
    size: int
    """In bytes."""

    @contextmanager
    def open(self, start: int = 0, size: int | None = None) -> Iterator["Exactly"]:
        """The bytes, as many as there were, or so many of them from one on.

        Raises:
            UserErrorException: It cannot be read any more.
        """
        with _open(self.source) as file:
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

    def send_to(self, sock: socket.socket, /) -> None:
        """Sends all of a file on disk from there to the network; what is in memory stays to be read.

        Raises:
            UserErrorException: There are fewer now.
        """
        if self._left and isinstance(self._file, io.BufferedReader):
            self._left -= sock.sendfile(self._file, self._file.tell(), self._left)
            if self._left:
                raise changed(self._name)


def look_at(source: Source) -> Content:
    """Digest and size of a file, which is read once.

    Raises:
        UserErrorException: It cannot be read.
    """
    if isinstance(source, bytes):
        return Content(source, hashlib.sha256(source).hexdigest(), len(source))
    with _open(source) as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return Content(source, digest, file.tell())


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


def _unreadable(name: str, error: OSError) -> UserErrorException:
    return UserErrorException(f"{name} cannot be read: {error.strerror}.", error)
