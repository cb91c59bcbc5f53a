"""The journal: what one process asked of the services while it was offline.

    <group>/<id>.journal            records, each written by one call of the system
    <group>/<id>.journal.files/<n>  copies of the files that were uploaded
    <group>/<id>.journal.done       how many bytes of it are carried out, in decimal

    record = crc u32, length u32, head length u16, head JSON [version, time, method], request

Numbers are little-endian, times microseconds since the Unix epoch. The crc is that of length and body, as in a spool. A
process has its journal locked as long as it lives.
"""

import errno
import json
import os
import shutil
import struct
import threading
import time
import uuid
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from runstream._spool.lock import try_lock
from runstream._spool.records import frame

JOURNAL_SUFFIX: Final = ".journal"
VERSION: Final = 1

_HEAD = struct.Struct("<II")
_LENGTH = struct.Struct("<H")


class Entry(NamedTuple):
    """Something that was asked of the services."""

    time: int
    """Microseconds since the Unix epoch."""
    method: str
    """The name of the rpc, or `UploadFiles`."""
    request: bytes
    end: int
    """Where the next entry begins."""


class JournalDamaged(Exception):
    """A journal cannot be read any further."""


class Journal:
    """The journal of this process in one folder. Thread-safe; a forked process begins one of its own."""

    def __init__(self, group: Path) -> None:
        self._group = group
        self._lock = threading.Lock()
        self._file: int | None = None
        self.path = self._path()

    def add(self, method: str, request: bytes) -> None:
        """Appends a request.

        Raises:
            OSError: The disk is full, for example; then nothing is appended.
        """
        head = json.dumps([VERSION, time.time_ns() // 1000, method]).encode()
        record = frame(_LENGTH.pack(len(head)) + head + request)
        with self._lock:
            file = self._open()
            end = os.lseek(file, 0, os.SEEK_END)
            if os.write(file, record) != len(record):
                os.ftruncate(file, end)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def keep(self, sources: Sequence[Path | bytes]) -> list[Path]:
        """Copies files, or bytes, to where they stay until they are uploaded."""
        folder = files_of(self.path)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        copies = []
        for source in sources:
            copy = folder / uuid.uuid4().hex
            if isinstance(source, bytes):
                copy.write_bytes(source)
            else:
                shutil.copyfile(source, copy)
            copies.append(copy)
        return copies

    def leave_parent(self) -> None:
        """In a child process: what was open belongs to the parent."""
        if self._file is not None:
            os.close(self._file)
        self.__init__(self._group)  # type: ignore[misc]

    def _open(self) -> int:
        if self._file is None:
            self._group.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
            try_lock(self._file)
        return self._file

    def _path(self) -> Path:
        return self._group / f"{uuid.uuid4().hex}{JOURNAL_SUFFIX}"


def journals_in(group: Path) -> list[Path]:
    """The journals of a folder, in ascending order of name."""
    return sorted(group.glob(f"*{JOURNAL_SUFFIX}"))


def files_of(journal: Path) -> Path:
    """The folder of the files of a journal; it need not exist."""
    return journal.with_name(f"{journal.name}.files")


def read_entries(journal: Path, start: int = 0) -> Iterator[Entry]:
    """The entries from an offset on. One that is cut off at the end was not written whole, and is left out.

    Raises:
        JournalDamaged: Something else than the end of an entry is missing.
    """
    data, at = journal.read_bytes(), start
    while len(data) - at >= _HEAD.size:
        crc, length = _HEAD.unpack_from(data, at)
        end = at + _HEAD.size + length
        if end > len(data):
            return
        if zlib.crc32(data[at + 4 : end]) != crc:
            raise JournalDamaged(f"{journal} is damaged at offset {at}: {len(data) - at} bytes cannot be read")
        yield _decode(data[at + _HEAD.size : end], end)
        at = end


def done_bytes(journal: Path) -> int:
    """How much of a journal is carried out."""
    try:
        return int(_done(journal).read_text())
    except (OSError, ValueError):
        return 0


def note_done(journal: Path, end: int) -> None:
    """Notes how much of a journal is carried out."""
    unfinished = journal.with_name(f"{journal.name}.unfinished")
    unfinished.write_text(str(end))
    unfinished.replace(_done(journal))


def remove_journal(journal: Path) -> None:
    """Removes a journal and its files."""
    shutil.rmtree(files_of(journal), ignore_errors=True)
    journal.unlink(missing_ok=True)
    _done(journal).unlink(missing_ok=True)


def _done(journal: Path) -> Path:
    return journal.with_name(f"{journal.name}.done")


def _decode(body: bytes, end: int) -> Entry:
    (length,) = _LENGTH.unpack_from(body)
    start = _LENGTH.size + length
    version, moment, method = json.loads(body[_LENGTH.size : start])
    if version != VERSION:
        raise JournalDamaged(f"version {version} of the journal is not known here")
    return Entry(moment, method, body[start:], end)
