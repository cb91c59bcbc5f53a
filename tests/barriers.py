"""What scripts wait at until their test lets them pass; nobody looks again and again whether it does."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

WAIT_AT = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_SH)\n"
"""Of a script: waits at the barrier that its first argument names."""


class Barrier:
    """Holds up the scripts that come to it, any number of them, until it is lifted; those that come later pass."""

    def __init__(self, path: Path, file: int) -> None:
        self.path = path
        self._file = file

    def lift(self) -> None:
        """Lets all pass from now on."""
        fcntl.flock(self._file, fcntl.LOCK_UN)


@contextmanager
def barrier_at(path: Path) -> Iterator[Barrier]:
    """A barrier that is lifted at the end of the context at the latest."""
    file = os.open(path, os.O_CREAT | os.O_RDWR)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield Barrier(path, file)
    finally:
        os.close(file)
