"""How far a spool has been carried: a small file beside it that the uplink writes and the writer reads.

    file     = progress (64 bytes), then `SLOTS` slots of 64 bytes, all overwritten in place
    progress = crc u32, stopped u8, 3 zero bytes, offset u64, sequence u64, mark u64, zeros
    slot     = crc u32, 4 zero bytes, sequence u64, start u64, end u64, digest 32 bytes

The slot of a batch is written before the batch is sent, so whoever carries on after a kill knows what each sequence
that the server may have is made of. Each crc is `zlib.crc32` of what follows it. The file has its full size from the
beginning, so a full disk does not stop the uplink.
"""

import os
import struct
import zlib
from pathlib import Path
from typing import Final, NamedTuple

SLOTS: Final = 256
MAX_UNACKNOWLEDGED: Final = SLOTS // 2
"""Batches under way at most: as many again stay known behind them."""

_SLOT_BYTES = 64
_FILE_BYTES = _SLOT_BYTES * (1 + SLOTS)
_CRC = struct.Struct("<I")
_PROGRESS = struct.Struct("<B3xQQQ")
_SLOT = struct.Struct("<4xQQQ32s")


class Progress(NamedTuple):
    """How far a spool has been carried."""

    offset: int = 0
    """Everything in the spool before this is acknowledged or refused."""
    sequence: int = 0
    """The last batch that is acknowledged."""
    mark: int = 0
    """The last flush that is done."""
    stopped: bool = False
    """Whether the uplink gave up on this spool; the last event says why."""


class Batch(NamedTuple):
    """What a batch was made from."""

    sequence: int
    start: int
    end: int
    """The batch holds the values of the spool from `start` to before `end`."""
    digest: bytes
    """SHA-256 of these bytes of the spool."""


def read_progress(path: Path) -> Progress | None:
    """What the uplink says; None when there is nothing, or it is just being overwritten."""
    try:
        with path.open("rb", buffering=0) as file:
            data = file.read(_SLOT_BYTES)
    except OSError:
        return None
    return _decode_progress(data)


def create_progress(path: Path) -> None:
    """Makes the file in its full size if it does not exist."""
    if path.exists():
        return
    unfinished = path.with_suffix(".unfinished")
    try:
        with unfinished.open("wb") as file:
            file.write(bytes(_FILE_BYTES))
        unfinished.rename(path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise


class ProgressFile:
    """The progress of one spool, for the uplink: it alone writes it."""

    def __init__(self, path: Path) -> None:
        create_progress(path)
        self._file = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        self.progress = _decode_progress(os.pread(self._file, _SLOT_BYTES, 0)) or Progress()

    def save(self, progress: Progress) -> None:
        """Replaces the progress."""
        self.progress = progress
        packed = _PROGRESS.pack(progress.stopped, progress.offset, progress.sequence, progress.mark)
        self._write(0, packed)

    def add_batch(self, batch: Batch) -> None:
        """Notes a batch before it is sent; the one `SLOTS` batches before it is forgotten."""
        self._write(_place(batch.sequence), _SLOT.pack(*batch))

    def batch(self, sequence: int) -> Batch | None:
        """What a batch was made from; None when it is not known."""
        data = os.pread(self._file, _SLOT_BYTES, _place(sequence))
        if len(data) < _SLOT_BYTES or _CRC.unpack_from(data)[0] != zlib.crc32(data[_CRC.size :]):
            return None
        batch = Batch(*_SLOT.unpack_from(data, _CRC.size))
        return batch if batch.sequence == sequence else None

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)

    def _write(self, at: int, packed: bytes) -> None:
        checked = packed.ljust(_SLOT_BYTES - _CRC.size, b"\0")
        os.pwrite(self._file, _CRC.pack(zlib.crc32(checked)) + checked, at)


def _place(sequence: int) -> int:
    return _SLOT_BYTES * (1 + sequence % SLOTS)


def _decode_progress(data: bytes) -> Progress | None:
    if len(data) < _SLOT_BYTES or _CRC.unpack_from(data)[0] != zlib.crc32(data[_CRC.size :]):
        return None
    stopped, offset, sequence, mark = _PROGRESS.unpack_from(data, _CRC.size)
    return Progress(offset, sequence, mark, bool(stopped))
