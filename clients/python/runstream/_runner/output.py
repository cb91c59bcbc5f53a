"""The log files of a job: its processes write them, the uplink carries them while they grow."""

import os
from pathlib import Path
from typing import Final

from runstream._runner.job import JobToRun
from runstream._spool import RunSpool
from runstream._spool.lock import try_lock
from runstream.exceptions import AzureMLException

FLUSH_SECONDS: Final = 300.0
"""How long the end of a run waits for its log files; whatever is left then is carried up later."""


class JobLogs:
    """What the uplink follows for a job."""

    def __init__(self, job: JobToRun) -> None:
        self._spool = RunSpool.open(job.run, job.address)

    def open(self, name: str) -> tuple[Path, int]:
        """Makes a log file `user_logs/<name>`: where it is, and an open file that is locked as long as anyone has it.

        Raises:
            OSError: It cannot be made.
        """
        path = self._spool.make_output_folder() / name
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try_lock(file)
        self._spool.follow_output(path)
        return path, file

    def follow(self, log: str, file: Path) -> None:
        """Makes a file a log file of the run."""
        self._spool.follow_file(log, file)

    def follow_folder(self, prefix: str, folder: Path) -> None:
        """Makes the files of a folder log files of the run, as they come and grow."""
        self._spool.follow_folder(prefix, folder)

    def tend(self) -> None:
        """Sees that an uplink lives."""
        self._spool.tend()

    def settle(self) -> None:
        """Waits until everything is stored, for a while."""
        try:
            self._spool.settle(FLUSH_SECONDS)
        except AzureMLException:
            pass
        finally:
            self._spool.finish()


def log_names(count: int, attempt: int) -> list[str]:
    """What the log files of the processes of a job are called."""
    stem = "std_log" if attempt == 1 else f"std_log_attempt_{attempt}"
    if count == 1:
        return [f"{stem}.txt"]
    digits = len(str(count - 1))
    return [f"{stem}_process_{number:0{digits}}.txt" for number in range(count)]
