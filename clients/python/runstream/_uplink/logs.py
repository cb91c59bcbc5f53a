"""Carries one local text file: it becomes a log file of a run while it grows."""

import asyncio
import hashlib
import os
import socket
import stat
import time
from pathlib import Path
from typing import Final

from runstream._uplink.append import Piece, Stopped
from runstream._uplink.doorbell import Bell
from runstream.api.logs.v1.log_service_pb2 import (
    FinishLog,
    LogAcknowledged,
    LogChunk,
    LogOpened,
    OpenLog,
    WriteLogRequest,
)

GATHER_SECONDS: Final = 0.05
"""Chunks of a busy file are at least this far apart; the first after a rest goes at once."""
CHUNK_BYTES: Final = 256 * 1024
LOOK_SECONDS: Final = 1.0
"""How often a silent file is looked at without a sign of change."""
DIGEST_BYTES: Final = 4_096
"""As the contract says."""


class LogSource:
    """The bytes of one local file, which is its own spool: a restart goes on where the server stands."""

    def __init__(self, run: str, log: str, local: Path, bell: Bell) -> None:
        self._run = run
        self._log = log
        self._local = local
        self._bell = bell
        self._file: int | None = None
        self._position = 0
        self._chunk_bytes = CHUNK_BYTES
        self._sent_time = 0.0
        self._is_ending = False
        self.durable = 0
        """Every byte before this offset is acknowledged."""
        self.moved = asyncio.Event()
        """Set whenever `durable` grows."""

    @property
    def size(self) -> int:
        """How many bytes the file has now; 0: it does not exist."""
        try:
            status = self._local.stat() if self._file is None else os.fstat(self._file)
        except (OSError, ValueError):
            return 0
        return status.st_size

    @property
    def is_full(self) -> bool:
        """Whether the file has a whole chunk that was not sent."""
        return self.size - self._position >= self._chunk_bytes

    def end(self) -> None:
        """Says that nobody writes any more: what is there now is the rest."""
        self._is_ending = True
        self._bell.ring()

    async def appears(self) -> bool:
        """Waits for the file; false: nobody writes any more and there is none.

        Raises:
            Stopped: It cannot be read.
        """
        while not self._find():
            if self._is_ending:
                return False
            self._bell.arm()
            await self._bell.wait(LOOK_SECONDS)
        return True

    def open(self) -> WriteLogRequest:
        """The first message."""
        opening = OpenLog(run=self._run, path=self._log, writer=self._writer(), durable_offset=self.durable)
        if self.durable:
            start = max(0, self.durable - DIGEST_BYTES)
            opening.durable_digest = hashlib.sha256(self._read(start, self.durable - start)).digest()
        return WriteLogRequest(open=opening)

    def opened(self, opened: LogOpened) -> None:
        """Goes on after what the server has.

        Raises:
            Stopped: The file has less.
        """
        if opened.durable_offset > self.size:
            raise self._rewritten()
        self.durable = self._position = opened.durable_offset
        self.moved.set()
        self._chunk_bytes = min(CHUNK_BYTES, opened.max_batch_bytes)

    async def next(self) -> Piece[WriteLogRequest] | None:
        """The next bytes.

        Raises:
            Stopped: Somebody has cut the file.
        """
        await asyncio.sleep(self._sent_time + GATHER_SECONDS - time.monotonic())
        while True:
            is_ending = self._is_ending
            self._bell.arm()
            if data := self._read(self._position, self._chunk_bytes):
                return self._piece(data)
            if self.size < self._position:
                raise self._rewritten()
            if is_ending:
                return None
            await self._bell.wait(LOOK_SECONDS)

    def acknowledged(self, acknowledged: LogAcknowledged) -> int:
        """Notes what became durable."""
        self.durable = max(self.durable, acknowledged.durable_offset)
        self.moved.set()
        return acknowledged.durable_offset

    def finish(self) -> WriteLogRequest:
        """The last message."""
        return WriteLogRequest(finish=FinishLog())

    def goes_on_after(self, stopped: Stopped) -> bool:
        """Whether it can be carried under another name."""
        return False

    def remove(self) -> None:
        """Leaves the file, which was carried to its end, to whom it belongs."""

    def close(self) -> None:
        """Closes the file."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _find(self) -> bool:
        if self._file is None:
            try:
                self._file = os.open(self._local, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            except FileNotFoundError:
                return False
            except OSError as error:
                raise Stopped("LOG_UNREADABLE", f"{self._local} cannot be read: {error.strerror}") from None
            if not stat.S_ISREG(os.fstat(self._file).st_mode):
                raise Stopped("LOG_UNREADABLE", f"{self._local} is no file")
        return True

    def _read(self, start: int, count: int) -> bytes:
        return b"" if self._file is None else os.pread(self._file, count, start)

    def _piece(self, data: bytes) -> Piece[WriteLogRequest]:
        chunk = LogChunk(offset=self._position, data=data)
        self._position += len(data)
        if self._file is not None and (status := os.fstat(self._file)).st_size == self._position:
            chunk.time.FromNanoseconds(status.st_mtime_ns)
        if len(data) < self._chunk_bytes:
            self._sent_time = time.monotonic()
        return Piece(WriteLogRequest(chunk=chunk), self._position, len(data))

    def _rewritten(self) -> Stopped:
        return Stopped("LOG_REWRITTEN", f"{self._local} has fewer bytes than were recorded of it")

    def _writer(self) -> str:
        """The writer id of the file: the same for every process of this machine that follows it."""
        name = f"{socket.gethostname()}\n{self._run}\n{self._log}\n{self._local}"
        return hashlib.sha256(name.encode()).hexdigest()[:32]
