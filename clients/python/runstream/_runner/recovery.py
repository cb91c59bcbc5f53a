"""Jobs of this machine whose guards and runners are gone: they were killed at once, or the machine was switched off."""

import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from runstream._channel.interpreter import package_environment
from runstream._channel.tokens import PRIVATE_VARIABLES, TOKEN_FILE_VARIABLE
from runstream._runner.access import token_file
from runstream._runner.folder import JobFolder, jobs_root
from runstream._runner.processes import kill_marked
from runstream._runner.start import leave_to_itself

LOOK_SECONDS: Final = 0.01


def resume_lost_jobs() -> dict[tuple[str, int], int]:
    """Has each such job ended by a runner of its own, which is not waited for: its process id, by run and lease.

    May be called at any time by anybody who executes jobs on this machine.
    """
    started = {}
    with contextlib.suppress(OSError):
        for run, lease, folder in list(_lost(jobs_root())):
            started[run, lease] = _start(folder.path)
    return started


def end_processes(folder: JobFolder) -> None:
    """Kills all processes of a job, and waits until they are gone."""
    while kill_marked(str(folder.path)):
        time.sleep(LOOK_SECONDS)


def _lost(root: Path) -> Iterator[tuple[str, int, JobFolder]]:
    for path in root.iterdir():
        folder = JobFolder(path)
        if folder.is_left():
            progress = folder.read()
            if progress.job is not None and progress.host == socket.gethostname():
                yield progress.job.run, progress.lease, folder


def _environment(folder: Path) -> dict[str, str]:
    """That of this process, with the token of the job that was left in the place of its own."""
    known = {name: value for name, value in package_environment().items() if name not in PRIVATE_VARIABLES}
    return {**known, TOKEN_FILE_VARIABLE: str(token_file(folder))}


def _start(folder: Path) -> int:
    process = subprocess.Popen(
        [sys.executable, "-P", "-m", "runstream._runner", "--resume", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=_environment(folder),
        start_new_session=True,
    )
    return leave_to_itself(process)
