"""Reads the records of a spool while it grows."""

import os
import re
from pathlib import Path
from typing import NamedTuple

from runstream._spool.format import (
    DROPS_BYTES,
    DROPS_OFFSET,
    HEADER_BYTES,
    MAX_BODY_BYTES,
    RECORD_HEAD_BYTES,
    TYPES,
    Drops,
    Header,
    decode_drops,
    decode_header,
)
from runstream._spool.records import Record, record_at

LARGEST_RECORD = RECORD_HEAD_BYTES + MAX_BODY_BYTES
READ_BYTES = 4 * LARGEST_RECORD
"""More than the largest record: whatever follows within this many bytes of damage is found."""

_LIKELY_RECORD = re.compile(rb"(?s)(?=.{6}[\x00-\x10]\x00[" + re.escape(bytes(sorted(TYPES))) + rb"])")
"""Where a record may begin: length and type are possible. Finds it far faster than trying each byte."""


class Damage(NamedTuple):
    """Bytes of a spool that are no records."""

    start: int
    """Where they begin in the file."""
    end: int
    """Where the next record begins, or the file ends."""


def read_header(path: Path) -> Header:
    """Whose records a spool holds.

    Raises:
        OSError: It cannot be opened.
        SpoolDamaged: Its header cannot be read.
    """
    with path.open("rb") as file:
        return decode_header(file.read(HEADER_BYTES))


class SpoolReader:
    """The records of one spool from the first on, in order, each as soon as it is whole.

    Bytes that are no record are skipped up to the next intact record and reported as `Damage`. At the end of the file
    they may be a record that is just being written, so there they are reported only to who asks for the `final` rest,
    knowing that nobody writes any more.
    """

    def __init__(self, path: Path) -> None:
        """Opens the spool.

        Raises:
            OSError: It cannot be opened.
            SpoolDamaged: Its header cannot be read.
        """
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            self.header: Header = decode_header(os.pread(self._file, HEADER_BYTES, 0))
        except BaseException:
            os.close(self._file)
            raise
        self.position = HEADER_BYTES
        """Where the next record begins."""
        self._searched = 0

    @property
    def fd(self) -> int:
        """The open file."""
        return self._file

    @property
    def size(self) -> int:
        """How many bytes the file has now."""
        return os.fstat(self._file).st_size

    def drops(self) -> Drops:
        """What the writer says it could not write."""
        return decode_drops(os.pread(self._file, DROPS_BYTES, DROPS_OFFSET)) or Drops(0, 0)

    def bytes_between(self, start: int, end: int) -> bytes:
        """A piece of the file."""
        return os.pread(self._file, end - start, start)

    def read(self, max_bytes: int = READ_BYTES, *, final: bool = False) -> list[Record | Damage]:
        """Up to `max_bytes` bytes of records from `position` on, but always one if there is one, and moves it."""
        found = self._records(max_bytes) or self._records(LARGEST_RECORD)
        if not found and self.size > self.position and (one := self._record_or_damage(final)):
            found = [one]
        if found:
            self.position = found[-1].end
        return found

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _records(self, max_bytes: int) -> list[Record | Damage]:
        data = os.pread(self._file, min(max_bytes, self.size - self.position), self.position)
        found: list[Record | Damage] = []
        at = 0
        while at < len(data) and (record := record_at(data, at, self.position)):
            found.append(record)
            at = record.end - self.position
        return found

    def _record_or_damage(self, final: bool) -> Record | Damage | None:
        """What stands at `position`; None: it may be a record that is not whole yet."""
        data = os.pread(self._file, READ_BYTES, self.position)
        if record := record_at(data, 0, self.position):
            return record  # it has become whole since it was looked at
        end = self.position + len(data)
        if end == self._searched and not final:
            return None
        for match in _LIKELY_RECORD.finditer(data, 1):
            if record_at(data, match.start(), self.position):
                return Damage(self.position, self.position + match.start())
        if len(data) == READ_BYTES:
            return Damage(self.position, end - LARGEST_RECORD)
        self._searched = end
        return Damage(self.position, end) if final else None
