"""How much room what is not sent yet may take on this machine."""

import errno
import os
import re
from pathlib import Path
from typing import Final

LIMIT_VARIABLE: Final = "RUNSTREAM_SPOOL_LIMIT"
"""Bytes that the spools of one process for one run, and the files of what they log, may have together, with or without
a unit: `500MiB`, `2GiB`."""
DEFAULT_LIMIT: Final = 10 * 1024**3
FREE_SHARE: Final = 0.01
"""Of the disk, which is left to others: a training that cannot write its checkpoints is worse off."""
SEGMENT_BYTES: Final = 32 * 1024**2
"""A process begins another spool after so many, so that what is stored is soon removed."""

_LIMIT = re.compile(r"(?i)\s*(\d+(?:\.\d+)?)\s*(?:([kmgt])i?)?b?\s*")
_FACTORS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}


class SpoolFull(OSError):
    """The spools of a run have the size that they may have."""

    def __init__(self) -> None:
        super().__init__(errno.EDQUOT, why(errno.EDQUOT))


def spool_limit() -> int:
    """What `RUNSTREAM_SPOOL_LIMIT` says, in bytes; what cannot be understood is the default."""
    matched = _LIMIT.fullmatch(os.environ.get(LIMIT_VARIABLE, ""))
    return int(float(matched[1]) * _FACTORS[(matched[2] or "").lower()]) if matched else DEFAULT_LIMIT


def segment_bytes() -> int:
    """After how many bytes another spool is begun: under a small limit earlier, so that room comes back in parts."""
    return min(SEGMENT_BYTES, spool_limit() // 4)


def has_room(used_bytes: int, folder: Path) -> bool:
    """Whether spools in a folder, which have so many bytes, may grow."""
    return used_bytes < spool_limit() and _is_roomy(folder, 0)


def check_file(used_bytes: int, file_bytes: int, folder: Path) -> None:
    """Sees that a file may be kept beside spools that have so many bytes, which leaves some room to numbers.

    Raises:
        SpoolFull: It may not.
    """
    if used_bytes + file_bytes > spool_limit() - segment_bytes() or not _is_roomy(folder, file_bytes):
        raise SpoolFull


def why(error_number: int) -> str:
    """What an error of the system means for a spool, for people; nothing of 0."""
    if error_number == errno.EDQUOT:
        return f"the limit of the spool is reached ({LIMIT_VARIABLE}, or the disk is nearly full)"
    return os.strerror(error_number) if error_number else ""


def _is_roomy(folder: Path, more_bytes: int) -> bool:
    try:
        disk = os.statvfs(folder)
    except OSError:
        return True
    return disk.f_bavail * disk.f_frsize - more_bytes >= FREE_SHARE * disk.f_blocks * disk.f_frsize
