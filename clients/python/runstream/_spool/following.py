"""Has the uplink follow files: those of the program, and those that what it prints is kept in."""

import os
from collections.abc import Callable
from pathlib import Path
from time import time_ns
from typing import Final

from runstream._spool.format import FOLLOW_FILE, FOLLOW_FOLDER
from runstream._spool.kinds import check_name
from runstream._spool.outputs import LOGS_PREFIX, OUTPUT_SUFFIX
from runstream._spool.queue import SpoolQueue, is_due

before_flush: Final[list[Callable[[], None]]] = []
"""Called at the beginning of each flush, to bring what is printed into the files that are followed."""


class Following(SpoolQueue):
    """A part of `RunSpool`, by the same rules."""

    def follow_file(self, path: str, local_path: str | os.PathLike[str]) -> None:
        """Makes a local text file the log file `path` of the run, now and as it grows, until this process finishes."""
        self._follow(FOLLOW_FILE, path, Path(local_path).absolute())

    def follow_folder(self, prefix: str, folder: str | os.PathLike[str]) -> None:
        """Makes each file below a local folder a log file below `prefix`, as `follow_file` does.

        Files that come later are found about every second. Hidden files and folders are left out.
        """
        self._follow(FOLLOW_FOLDER, prefix, Path(folder).absolute())

    @property
    def chain(self) -> str:
        """What tells the spools of this process before and after a `finish` apart; empty: there is none now."""
        writer = self._writer
        return writer.first if writer is not None else ""

    def make_output_folder(self) -> Path:
        """The folder for files that belong to this process and are removed once they are stored.

        Raises:
            OSError: It cannot be made.
        """
        with self._lock:
            writer = self._writer or self._begin(time_ns() // 1000)
        folder = writer.path.with_name(f"{writer.first}{OUTPUT_SUFFIX}")
        folder.mkdir(mode=0o700, exist_ok=True)
        return folder

    def follow_output(self, file: Path) -> None:
        """Makes a file of such a folder a log file of the run, and the others that come into the folder."""
        folder = Path(file.parent.name)  # beside the spool, wherever that is brought
        self._follow(FOLLOW_FILE, f"{LOGS_PREFIX}/{file.name}", folder / file.name)
        self._follow(FOLLOW_FOLDER, LOGS_PREFIX, folder)

    def tend(self) -> None:
        """Sees that an uplink carries what is followed: for who writes to such files now and then, but logs nothing."""
        if is_due(self._tend_time, time_ns() // 1000):
            self._tend_safely()

    def _follow(self, type_: int, path: str, local: Path) -> None:
        check_name(path)
        try:
            with self._lock:
                writer = self._writer or self._begin(time_ns() // 1000)
                writer.follow(type_, path, local)
                self._tend(time_ns() // 1000)
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._reports.add_trouble(f"{local} is not followed", error)
        self._reports.tell()
