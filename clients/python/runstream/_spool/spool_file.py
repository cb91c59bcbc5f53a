"""One spool as its writer has it open."""

import contextlib
import errno
import os
from pathlib import Path

from runstream._spool.format import DROPS_OFFSET, Drops, Header, encode_drops, encode_header
from runstream._spool.lock import try_lock
from runstream._spool.places import progress_of
from runstream._spool.progress import create_progress


class SpoolFile:
    """A spool that records are appended to. It is locked as long as it is open."""

    def __init__(self, path: Path, header: Header) -> None:
        """Makes the file.

        Raises:
            OSError: The folder cannot be written, or the disk is full.
            ValueError: The names are too long.
        """
        self.path = path
        self._file = _create(path, header)

    @property
    def position(self) -> int:
        """How many bytes it has."""
        return os.lseek(self._file, 0, os.SEEK_CUR)

    @property
    def is_there(self) -> bool:
        """Whether the file still has a name: once it was removed, nobody reads it any more."""
        return os.fstat(self._file).st_nlink > 0

    def append(self, record: bytes) -> None:
        """Appends all of a record, or nothing.

        Raises:
            OSError: It could not be written.
        """
        written = os.write(self._file, record)
        if written != len(record):
            self._take_back(written)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def note_drops(self, drops: Drops) -> None:
        """Says what could not be written, in a place that needs no further room."""
        with contextlib.suppress(OSError):
            os.pwrite(self._file, encode_drops(drops), DROPS_OFFSET)

    def close(self) -> None:
        """Closes the file without a word."""
        os.close(self._file)

    def discard(self) -> None:
        """Removes a file that nothing was written to."""
        self.path.unlink()
        progress_of(self.path).unlink(missing_ok=True)
        self.close()

    def _take_back(self, count: int) -> None:
        end = self.position - count
        os.ftruncate(self._file, end)
        os.lseek(self._file, end, os.SEEK_SET)


def _create(path: Path, header: Header) -> int:
    """Makes a spool that is locked and has its header before anybody sees it."""
    first = encode_header(header)
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    hidden = path.with_suffix(".new")
    file = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        try_lock(file)
        if os.write(file, first) != len(first):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        create_progress(progress_of(path))
        hidden.rename(path)
    except BaseException:
        os.close(file)
        for made in (hidden, path, progress_of(path)):
            made.unlink(missing_ok=True)
        raise
    return file
