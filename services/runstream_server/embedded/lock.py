"""One owner per folder."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from runstream_server.embedded.errors import FolderInUse


@contextmanager
def lock_folder(folder: Path) -> Iterator[Path]:
    """Makes the folder, and keeps it from any other process while the context is open; gives its full path.

    The system gives the lock back when its owner dies, however that happens: a lock is never stale.

    Raises:
        FolderInUse: A living process has it.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FolderInUse(folder, _owner(handle)) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield folder.resolve()
    finally:
        os.close(handle)


def _owner(handle: int) -> int | None:
    text = os.pread(handle, 32, 0).decode().strip()
    return int(text) if text.isdigit() else None
