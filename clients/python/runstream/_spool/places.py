"""Where spools are on this machine.

    <root>/<group>/<writer>.spool       what the writer logged
    <root>/<group>/<writer>.progress    how far it has been carried
    <root>/<group>/<writer>.events      what was refused on the way, and why it stopped
    <root>/<group>/<writer>.files/<n>   artifacts that were logged as metrics, each until it is uploaded
    <root>/<group>/uplink.lock          locked by the uplink of the group while it lives; has its process id
    <root>/<group>/uplink.log           what the uplink has to say

A group is everything that one uplink carries: all runs of one address on one machine. So a script with a hundred child
runs has one uplink, and a home folder shared by several machines has one for each.
"""

import functools
import hashlib
import os
import socket
import stat
import tempfile
from pathlib import Path

from runstream._channel.address import state_folder

SPOOL_VARIABLE = "RUNSTREAM_SPOOL_DIR"

SPOOL_SUFFIX = ".spool"
PROGRESS_SUFFIX = ".progress"
EVENTS_SUFFIX = ".events"
FILES_SUFFIX = ".files"
STAGED_SUFFIX = ".staged"
"""A file that is just being written, and will belong to a spool."""
LOCK_NAME = "uplink.lock"
LOG_NAME = "uplink.log"


def spool_root() -> Path:
    """Where this user's spools are: `RUNSTREAM_SPOOL_DIR`, or `spool` in the folder of the client's state.

    Where that cannot be written, as in many containers, it is a folder among the temporary files.

    Raises:
        OSError: Somebody else has, or may write, the folder among the temporary files: its name can be guessed.
    """
    chosen = os.environ.get(SPOOL_VARIABLE)
    if chosen:
        return _absolute(chosen)
    usual = state_folder().absolute() / "spool"
    if can_make(usual):
        return usual
    return make_private(make_private(Path(tempfile.gettempdir()) / f"runstream-{os.getuid()}") / "spool")


def group_folder(address: str) -> Path:
    """The folder of the spools for the services at `address`; it need not exist."""
    return spool_root() / hashlib.sha256(f"{socket.gethostname()}\n{address}".encode()).hexdigest()[:32]


def spools_in(group: Path) -> list[Path]:
    """The spools of a group, in ascending order of name."""
    return sorted(group.glob(f"*{SPOOL_SUFFIX}"))


def progress_of(spool: Path) -> Path:
    """The progress file of a spool."""
    return spool.with_suffix(PROGRESS_SUFFIX)


def events_of(spool: Path) -> Path:
    """The events file of a spool."""
    return spool.with_suffix(EVENTS_SUFFIX)


def files_of(spool: Path) -> Path:
    """The folder of the artifacts of a spool; it need not exist."""
    return spool.with_suffix(FILES_SUFFIX)


@functools.cache
def _absolute(chosen: str) -> Path:
    """A path as it was meant when it was first used: a program that changes its folder keeps its spools."""
    return Path(chosen).absolute()


def can_make(folder: Path) -> bool:
    """Makes a folder that only this user can use, if it is not there; whether it can be written."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def make_private(folder: Path) -> Path:
    """Makes a folder that only this user can use, or sees that it is one.

    Raises:
        OSError: It is something else.
    """
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    is_own = stat.S_ISDIR(status.st_mode) and status.st_uid == os.getuid()
    if not is_own or status.st_mode & 0o077:
        raise PermissionError(f"{folder} is not a folder of this user alone; set {SPOOL_VARIABLE} to one that is")
    return folder
