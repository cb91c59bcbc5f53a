"""What was exported of a run: the event file, and how far each of its series is in it."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from runstream._spool.lock import try_lock
from runstream._transfer.partial import write_whole
from runstream.exceptions import UserErrorException

EVENTS_NAME: Final = "events.out.tfevents.0.runstream"
PROGRESS_NAME: Final = ".runstream-exported"

Progress = dict[str, int]
"""How many values of each metric are exported."""


class Exported:
    """The event file of a run, to which one process appends.

    What is appended counts as soon as it is noted; what is not, since a process was killed for example, is cut off when
    the file is opened again. So each value is in the file once.
    """

    def __init__(self, file: int, progress_path: Path) -> None:
        self._file = file
        self._progress_path = progress_path
        self.progress, self._size = _read_progress(progress_path, os.fstat(file).st_size)
        os.ftruncate(file, self._size)

    @classmethod
    @contextmanager
    def opened(cls, folder: Path) -> Iterator["Exported"]:
        """Opens what was exported to a folder, and notes at the end how far it is.

        Raises:
            UserErrorException: Another process exports to it.
        """
        file = os.open(folder / EVENTS_NAME, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            if not try_lock(file):
                raise UserErrorException(f"Somebody exports to {folder} already; wait, or choose another folder.")
            exported = cls(file, folder / PROGRESS_NAME)
            try:
                yield exported
            finally:
                exported._note()
        finally:
            os.close(file)

    @property
    def is_new(self) -> bool:
        """Whether nothing is in the file."""
        return self._size == 0

    def append(self, records: bytes) -> None:
        """Appends whole records, all of them or, where that fails, none."""
        rest, end = memoryview(records), self._size
        while rest:
            written = os.pwrite(self._file, rest, end)
            rest, end = rest[written:], end + written
        self._size = end

    def _note(self) -> None:
        os.fsync(self._file)
        document = {"size": self._size, "values": self.progress}
        write_whole(self._progress_path, json.dumps(document).encode())


def _read_progress(path: Path, size: int) -> tuple[Progress, int]:
    """How far each series is, and in how many bytes; nothing where the file has fewer."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        document: dict[str, Any] = json.loads(path.read_bytes())
        if 0 < document["size"] <= size:
            return dict(document["values"]), document["size"]
    return {}, 0
