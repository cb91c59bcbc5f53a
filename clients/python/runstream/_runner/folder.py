"""The folder of one job on this machine, and what a runner writes down in it.

<jobs>/<job>/work/           the working directory of the script
<jobs>/<job>/job.json        how far the runner is, for the one that comes after it
<jobs>/<job>/access/token    its run token, see `access`
<jobs>/<job>/lock            locked as long as the guard or its runner lives
"""

import hashlib
import json
import os
import re
import shutil
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from runstream._runner.job import JobToRun
from runstream._spool.lock import is_live, lock_file

FOLDER_VARIABLE: Final = "RUNSTREAM_JOBS_DIR"
"""Where the working directories of jobs are. Default: `jobs` in the folder of the client's state."""
WORK: Final = "work"
_STATE: Final = "job.json"
_LOCK: Final = "lock"
_PATIENCE_SECONDS: Final = 2.0
"""How long who only looks at a lock is waited for."""
_MAX_NAME_CHARACTERS: Final = 80


@dataclass(frozen=True)
class Ending:
    """How a job ended."""

    status: str
    """`COMPLETED`, `FAILED` or `CANCELED`; empty: the run is not this runner's to end."""
    time_ns: int = 0
    """When, since the Unix epoch."""
    reason: str = ""
    """For the status history."""
    code: str = ""
    message: str = ""
    exception_type: str = ""
    stack_trace: str = ""
    cause_time_ns: int = 0
    """When that happened which made it end; 0: at its end."""


@dataclass(frozen=True)
class Progress:
    """How far a runner is."""

    job: JobToRun | None = None
    """None: the job is not claimed, or it is another node that has it."""
    host: str = ""
    """The machine; folders may be shared by several."""
    lease: int = 0
    """0: the job is not claimed."""
    attempt: int = 1
    skips_outputs: bool = False
    processes: list[dict[str, Any]] = field(default_factory=list)
    """What became of each process."""
    ending: Ending | None = None


class JobFolder:
    """The folder of one job."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def of(cls, job: JobToRun) -> "JobFolder":
        """The folder for a job and the runners of one guard, which need not exist."""
        digest = hashlib.sha256(f"{job.address}\n{job.run}\n{job.holder}".encode()).hexdigest()[:8]
        return cls(jobs_root() / f"{folder_name(job.run_id)}-{digest}")

    @property
    def work(self) -> Path:
        """The working directory of the script."""
        return self.path / WORK

    def read(self) -> Progress:
        """What was written down last; nothing known where nothing was."""
        try:
            known = json.loads((self.path / _STATE).read_text("utf-8"))
            ending, job = known.pop("ending"), known.pop("job")
            return replace(
                Progress(**known), ending=Ending(**ending) if ending else None, job=JobToRun(**job) if job else None
            )
        except (OSError, ValueError, TypeError, LookupError, AttributeError):  # of another version, for example
            return Progress()

    def lock(self) -> bool:
        """Locks the folder, which is made if need be, until this process and those it forks have ended.

        False: somebody else has it locked, or it cannot be made.
        """
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            lock = lock_file(self.path / _LOCK, _PATIENCE_SECONDS)
        except OSError:
            return False
        return lock is not None

    def is_left(self) -> bool:
        """Whether nobody takes care of it any more."""
        return (self.path / _LOCK).exists() and not self.is_held()

    def is_held(self) -> bool:
        """Whether a guard or its runner has it."""
        return is_live(self.path / _LOCK)

    def write(self, progress: Progress) -> None:
        """Writes down how far the runner is; it survives whatever happens to the machine.

        Raises:
            OSError: It cannot be written.
        """
        self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        new = self.path / f".{_STATE}"
        with new.open("w", encoding="utf-8") as file:
            json.dump(asdict(progress), file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path / _STATE)

    def remove(self, *, keeps_files: bool) -> None:
        """Removes the folder, or all but the working directory."""
        if keeps_files:
            for name in (_STATE, _LOCK):
                (self.path / name).unlink(missing_ok=True)
        else:
            shutil.rmtree(self.path, ignore_errors=True)


def folder_name(run_id: str) -> str:
    """What the names of the folders of a run begin with, and of no other run; a digest follows."""
    plain = re.sub(r"[^A-Za-z0-9_.=-]", "_", run_id)[:_MAX_NAME_CHARACTERS]
    return plain if plain == run_id else f"{plain}-{hashlib.sha256(run_id.encode()).hexdigest()[:16]}"


def jobs_root() -> Path:
    """Where the folders of jobs are.

    Raises:
        OSError: No folder can be made.
    """
    from runstream._spool.places import spool_root

    chosen = os.environ.get(FOLDER_VARIABLE)
    return Path(chosen).absolute() if chosen else spool_root().parent / "jobs"
