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
from runstream._runner.folder import JobFolder, jobs_root
from runstream._runner.processes import kill_marked

LOOK_SECONDS: Final = 0.01


def resume_lost_jobs() -> int:
    """Has each such job ended by a runner of its own, which is not waited for; how many there are.

    May be called at any time by anybody who executes jobs on this machine.
    """
    with contextlib.suppress(OSError):
        folders = list(_lost(jobs_root()))
        for folder in folders:
            _start(folder.path)
        return len(folders)
    return 0


def end_processes(folder: JobFolder) -> None:
    """Kills all processes of a job, and waits until they are gone."""
    while kill_marked(str(folder.path)):
        time.sleep(LOOK_SECONDS)


def _lost(root: Path) -> Iterator[JobFolder]:
    for path in root.iterdir():
        folder = JobFolder(path)
        if folder.is_left():
            progress = folder.read()
            if progress.job is not None and progress.host == socket.gethostname():
                yield folder


def _start(folder: Path) -> None:
    subprocess.Popen(
        [sys.executable, "-P", "-m", "runstream._runner", "--resume", str(folder)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env=package_environment(),
        start_new_session=True,
    )
