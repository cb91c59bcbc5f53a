"""Records of `logging` as a log file of a run."""

import atexit
import contextlib
import fcntl
import logging
import os
import weakref
from pathlib import Path
from typing import Any

from runstream._output.tee import LogFile
from runstream._spool import RunSpool
from runstream._spool.outputs import numbered, process_number
from runstream._spool.room import spool_limit
from runstream.exceptions import UserErrorException

DEFAULT_FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
OWN_LOGGER = "runstream"


class RunLogHandler(logging.Handler):
    """Writes records to the log file `user_logs/python_log.txt` of a run, or to another one of that folder.

        logging.getLogger().addHandler(RunLogHandler(run, level=logging.INFO))

    A record is in a file on this machine when the logging call returns, so that a kill loses nothing, and is carried up
    like everything that is logged. Records of forked processes go to the same file. What Runstream itself has to say is
    left out. For an offline run it writes nothing.

    Raises:
        UserErrorException: `name` is no plain file name.
    """

    def __init__(self, run: Any, level: int | str = logging.NOTSET, name: str = "python_log.txt") -> None:
        super().__init__(level)
        if not isinstance(name, str) or name.startswith(".") or "." not in name or "/" in name or "\0" in name:
            raise UserErrorException(f"{name!r} is not the name of a log file; python_log.txt is one.")
        self.setFormatter(logging.Formatter(DEFAULT_FORMAT))
        self._spool: RunSpool | None = run._spool() if hasattr(run, "_record") else None
        self._name = name
        self._file: int | None = None
        self._log: LogFile | None = None
        self._path: Path | None = None
        self._chain = ""
        self._process = 0
        _handlers.add(self)
        if self._spool is not None:
            with contextlib.suppress(OSError):  # the first record tells
                self._open(self._new_path(self._spool))

    def emit(self, record: logging.LogRecord) -> None:
        """Writes a record; what goes wrong is handled as by every handler of `logging`."""
        if self._spool is None or record.name.partition(".")[0] == OWN_LOGGER:
            return
        try:
            text = f"{self.format(record)}\n"
            self._follow(self._spool).write(text.encode("utf-8", "backslashreplace"))
        except Exception:  # noqa: BLE001 - logging never fails a program
            self.handleError(record)

    def close(self) -> None:
        """Writes nothing more."""
        with self.lock or contextlib.nullcontext():
            self._spool = None
            if self._log is not None:
                self._log.close()
                self._log = self._file = None
        super().close()

    def _follow(self, spool: RunSpool) -> LogFile:
        """The open file, which the uplink follows; what is logged after the end of the run as well."""
        if self._path is None or self._log is None:
            path, log = self._open(self._new_path(spool))
        elif self._process != os.getpid():
            path, log = self._open(self._path)  # with a lock of its own, that no exit of the parent takes away
        else:
            path, log = self._path, self._log
        if spool.chain != self._chain:
            spool.follow_output(path)
            self._chain = spool.chain
        spool.tend()
        return log

    def _new_path(self, spool: RunSpool) -> Path:
        return spool.make_output_folder() / numbered(self._name, process_number()[0])

    def _open(self, path: Path) -> tuple[Path, LogFile]:
        """Makes or opens the file, which processes that are forked from now on write to as well.

        Raises:
            OSError: It cannot be made.
        """
        path.parent.mkdir(mode=0o700, exist_ok=True)
        if self._file is not None:
            os.close(self._file)
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        fcntl.flock(self._file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        self._path, self._log, self._process = path, LogFile(self._file, spool_limit()), os.getpid()
        return self._path, self._log

    def _let_go(self) -> None:
        """Lets the file be removed once it is stored; one that has nothing is removed at once."""
        with contextlib.suppress(OSError):
            if self._process != os.getpid():
                return  # the lock is the parent's
            if self._file is not None:
                fcntl.flock(self._file, fcntl.LOCK_UN)
            if self._path is not None and not self._chain and not self._path.stat().st_size:
                self._path.unlink()
                self._path.parent.rmdir()


def _leave() -> None:
    for handler in list(_handlers):
        handler._let_go()


_handlers: "weakref.WeakSet[RunLogHandler]" = weakref.WeakSet()
atexit.register(_leave)
