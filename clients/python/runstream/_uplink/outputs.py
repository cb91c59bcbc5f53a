"""Carries what a process printed: files that belong to nobody else, and are given back while they are stored."""

import contextlib
import ctypes
import hashlib
import os
import time
from pathlib import Path
from typing import Final

from runstream._spool.lock import is_locked, try_lock
from runstream._spool.outputs import OUTPUT_SUFFIX, next_numbered
from runstream._uplink.append import Piece, Stopped
from runstream._uplink.doorbell import Bell
from runstream._uplink.logs import LogSource
from runstream.api.logs.v1.log_service_pb2 import LogAcknowledged, LogOpened, WriteLogRequest

TAKEN: Final = "WRITER_MISMATCH"
MAX_NAMES: Final = 1_000
"""Names of log files that are tried, where other processes of the run have the first ones."""
GIVEN_BYTES: Final = 4 * 1024 * 1024
"""How much is given back to the disk at once."""
KEPT_BYTES: Final = 64 * 1024
"""What stays of what is stored: for the digest of an opening, and for who tells of a failure by the last lines."""
ORPHAN_SECONDS: Final = 24 * 3_600.0

_KEEP_SIZE_PUNCH_HOLE: Final = 0x01 | 0x02


class OutputSource(LogSource):
    """The bytes of one file in a folder of ours. It is at its end only when nobody may write to it any more."""

    def __init__(self, run: str, log: str, local: Path, bell: Bell) -> None:
        super().__init__(run, log, local, bell)
        self._given = 0
        self._names = 1

    def acknowledged(self, acknowledged: LogAcknowledged) -> int:
        """Notes what became durable, and gives it back to the disk."""
        position = super().acknowledged(acknowledged)
        if self.durable - self._given >= GIVEN_BYTES + KEPT_BYTES:
            _give_back(self._local, self.durable - KEPT_BYTES)
            self._given = self.durable - KEPT_BYTES
        return position

    def opened(self, opened: LogOpened) -> None:
        """Goes on after what the server has.

        Raises:
            Stopped: The file has less, or has given back what the server lacks.
        """
        super().opened(opened)
        if self._file is not None and self._position < self.size:
            self._see_to_data(self._file)

    async def next(self) -> Piece[WriteLogRequest] | None:
        """The next bytes.

        Raises:
            Stopped: Somebody has cut the file.
        """
        while True:
            is_over = not self._is_written()  # before it is read for the last time
            piece = await super().next()
            if piece is not None or is_over:
                return piece
            self._bell.arm()
            await self._bell.wait(self.look_seconds)

    def goes_on_after(self, stopped: Stopped) -> bool:
        """Takes the next name if the one it had belongs to another process of the run."""
        if stopped.reason != TAKEN or self.durable or self._names >= MAX_NAMES:
            return False
        self._names += 1
        folder, _, name = self._log.rpartition("/")
        self._log = f"{folder}/{next_numbered(name)}"
        return True

    def remove(self) -> None:
        """Removes the file, if all of it is stored and nobody may write to it."""
        if self._file is None or self.durable < self.size or not try_lock(self._file):
            return
        with contextlib.suppress(OSError):
            self._local.unlink()
            self._local.parent.rmdir()

    @property
    def look_seconds(self) -> float:
        """How often a file is looked at whose writer may be gone."""
        return 0.2

    def _see_to_data(self, file: int) -> None:
        try:
            start = os.lseek(file, self._position, os.SEEK_DATA)
        except OSError:
            return  # a file system that cannot tell, and has given nothing back
        if start > self._position:
            raise Stopped(
                "LOG_GIVEN_BACK", f"{start - self._position} bytes of {self._local} were stored once and removed"
            )

    def _is_written(self) -> bool:
        return self._file is not None and is_locked(self._file)

    def _writer(self) -> str:
        """The same wherever the folder is brought, and whatever the log is called in the end."""
        name = f"{self._run}\n{self._local.parent.name}\n{self._local.name}"
        return hashlib.sha256(name.encode()).hexdigest()[:32]


def is_output(local: Path) -> bool:
    """Whether a file is one of ours."""
    return local.parent.suffix == OUTPUT_SUFFIX


def remove_orphaned_outputs(group: Path) -> None:
    """Removes old folders that nobody writes to, where no spool is left that could have them carried up."""
    if any(group.glob("*.spool")):
        return
    limit = time.time() - ORPHAN_SECONDS
    for folder in group.glob(f"*{OUTPUT_SUFFIX}"):
        with contextlib.suppress(OSError):
            for file in folder.iterdir():
                _remove_orphan(file, limit)
            folder.rmdir()


def _remove_orphan(file: Path, limit: float) -> None:
    with file.open("rb") as opened:
        if file.stat().st_mtime < limit and try_lock(opened.fileno()):
            file.unlink()


def _give_back(path: Path, end: int) -> None:
    """Frees the room of the first bytes of a file, which keeps its size; where the system cannot, nothing happens."""
    with contextlib.suppress(AttributeError, OSError), path.open("r+b") as file:
        libc = ctypes.CDLL(None, use_errno=True)
        libc.fallocate(file.fileno(), _KEEP_SIZE_PUNCH_HOLE, ctypes.c_int64(0), ctypes.c_int64(end))
