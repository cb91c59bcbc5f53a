"""Records what this process prints as a log file of a run."""

import contextlib
import logging
import os
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

from runstream._output import the_tap
from runstream._output.tap import Record
from runstream._spool.following import before_flush
from runstream._spool.outputs import numbered, process_number
from runstream._spool.room import spool_limit

if TYPE_CHECKING:
    from runstream._spool import RunSpool

STANDARD_LOG = "std_log.txt"

logger = logging.getLogger("runstream")


class OutputRecording:
    """A recording that goes on until it is stopped, its run is ended, or the process ends.

    It may be used as a context manager. Stopping it again does nothing.
    """

    def __init__(self, folder: str = "", process: int = 0) -> None:
        self._folder = folder
        self._process = process

    @property
    def is_active(self) -> bool:
        """Whether what is printed is recorded."""
        return bool(self._folder) and self._process == os.getpid()

    def stop(self) -> None:
        """Records nothing more. What was printed before is in the log file when it returns."""
        if self.is_active:
            folder, self._folder = self._folder, ""
            the_tap().leave(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def start_recording(run: str, spool: "RunSpool") -> OutputRecording:
    """Records what this process prints into a log file of `run`; the same recording where one is going on.

    Where that is not possible it warns and returns one that is not active: printing goes on as before.
    """
    known = _recordings.get(run)
    if known is not None and known.is_active:
        return known
    try:
        _recordings[run] = _start(spool)
    except OSError as error:
        logger.warning("What this process prints is not recorded: %s", error)
        _recordings[run] = OutputRecording()
    return _recordings[run]


def is_recorded(run: str) -> bool:
    """Whether what this process prints is recorded as a log file of a run."""
    return run in _recordings and _recordings[run].is_active


def stop_recording(run: str) -> None:
    """Stops the recording of a run, if there is one in this process."""
    recording = _recordings.pop(run, None)
    if recording is not None:
        recording.stop()


def _start(spool: "RunSpool") -> OutputRecording:
    folder = spool.make_output_folder()
    first, step = process_number()
    file = folder / numbered(STANDARD_LOG, first)
    _create(file)
    record = Record(folder=str(folder), process=os.getpid(), first=first or 0, step=step, limit=spool_limit())
    try:
        the_tap().record(record, file, spool.tend)
    except OSError:
        _remove_empty(file)
        raise
    spool.follow_output(file)
    return OutputRecording(str(folder), os.getpid())


def _remove_empty(file: Path) -> None:
    with contextlib.suppress(OSError):
        if not file.stat().st_size:
            file.unlink()
            file.parent.rmdir()


def _create(file: Path) -> None:
    os.close(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600))


_recordings: dict[str, OutputRecording] = {}
before_flush.append(the_tap().sync)
