"""Records what a program prints into the log of a run."""

import fcntl
import io
import os
import shutil
import sys
import tempfile
import threading
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runstream._spool.lock import try_lock

if TYPE_CHECKING:
    from runstream._spool import RunSpool

LOGS_FOLDER = "logs"
LOG_NAME = "user_log.txt"


class OutputCapture:
    """Copies standard output and standard error of this process to a file, and has the spool of a run follow it.

    The first capture of a process writes `./logs/user_log.txt`, and the whole folder `./logs` is followed. A capture
    within another one, of a parent process as well, or in a folder that another process captures to writes a file of
    its own, so that each run has what was printed while it was the innermost one or above it.
    """

    def __init__(self) -> None:
        self._streams: list[tuple[str, Tee]] = []
        self._file: io.FileIO | None = None
        self._is_outermost = False
        self._temporary: Path | None = None
        self._held: int | None = None
        self._process = os.getpid()

    def start(self, spool: "RunSpool") -> None:
        """Begins to copy; a file that cannot be written leaves the program as it is."""
        global _captures
        with _lock:
            self._is_outermost = _captures == 0
            _captures += 1
        with suppress(OSError):
            path = self._open()
            if self._is_outermost:
                spool.follow_folder(LOGS_FOLDER, path.parent)
            else:
                spool.follow_file(f"{LOGS_FOLDER}/{LOG_NAME}", path)
            self._redirect("stdout")
            self._redirect("stderr")

    def stop(self) -> None:
        """Gives the streams back and closes the file; `clean` may follow once the file is stored."""
        global _captures
        with _lock:
            _captures -= 1
        for name, tee in reversed(self._streams):
            if getattr(sys, name) is tee:
                setattr(sys, name, tee.original)
            tee.detach_copy()
        if self._file is not None:
            self._file.close()
        self._release()

    def clean(self) -> None:
        """Removes the file if nobody but Runstream knows of it."""
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)

    def _open(self) -> Path:
        folder = Path(LOGS_FOLDER).absolute()
        self._is_outermost = self._is_outermost and self._hold(folder)
        if not self._is_outermost:
            folder = self._temporary = Path(tempfile.mkdtemp(prefix="runstream-"))
        path = folder / LOG_NAME
        path.unlink(missing_ok=True)  # the log of an earlier run stays whole for whoever still reads it
        self._file = path.open("wb", buffering=0)  # unbuffered, so that a forked child repeats nothing
        return path

    def _hold(self, folder: Path) -> bool:
        """Makes a folder this capture's until it stops; False: it is that of a capture in another process."""
        folder.mkdir(parents=True, exist_ok=True)
        self._held = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return try_lock(self._held)
        except OSError:
            return True  # a file system without locks

    def _release(self) -> None:
        if self._held is None:
            return
        held, self._held = self._held, None
        if self._is_outermost and self._process == os.getpid():
            with suppress(OSError):
                fcntl.flock(held, fcntl.LOCK_UN)  # a forked child that lives on has the descriptor as well
        os.close(held)

    def _redirect(self, name: str) -> None:
        original = getattr(sys, name)
        if original is None or self._file is None:
            return
        tee = Tee(original, self._file)
        setattr(sys, name, tee)
        self._streams.append((name, tee))


class Tee:
    """Writes to a stream, and a copy to a file. It is the stream in everything else."""

    def __init__(self, original: Any, copy: io.FileIO) -> None:
        self.original = original
        self._copy: io.FileIO | None = copy

    def write(self, text: str) -> int:
        """Writes `text`; a copy that cannot be written is dropped."""
        if self._copy is not None:
            with suppress(OSError, ValueError):
                self._copy.write(text.encode("utf-8", "replace"))
        written: int = self.original.write(text)
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Writes each of `lines`."""
        for line in lines:
            self.write(line)

    def detach_copy(self) -> None:
        """Writes to the stream only from now on."""
        self._copy = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self.original, name)


def _forget() -> None:
    global _lock
    _lock = threading.Lock()


_captures = 0
_lock = threading.Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
