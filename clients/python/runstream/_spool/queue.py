"""The spools that one process writes for one run, one after the other."""

import contextlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from time import time_ns

from runstream._channel.address import OFFLINE
from runstream._spool.events import Refusal
from runstream._spool.flush import Consignment
from runstream._spool.launch import ensure_uplink
from runstream._spool.lock import is_held_once
from runstream._spool.names import MAX_METRIC_CHARACTERS, MAX_METRICS, Refused
from runstream._spool.places import group_folder
from runstream._spool.reports import Reports
from runstream._spool.room import check_file, has_room, segment_bytes
from runstream._spool.writer import SpoolWriter
from runstream.exceptions import AzureMLException

TEND_MICROSECONDS = 1_000_000
"""How often a process that logs looks after its uplink, and tries again to make a spool where it could not."""
KEPT = "what is logged stays on this machine until there is another token"
LOOK_SECONDS = 0.05
"""How long is waited for who logs by what is only tried now and then."""


class SpoolQueue:
    """Writes records to the spool of this process, begins another one when that is long, and sees that they are
    carried up.

    Thread-safe. Nothing here raises into who logs: what cannot be written is counted and warned of once.
    """

    def __init__(self, run: str, address: str) -> None:
        self._run = run
        self._address = address
        self._lock = threading.RLock()
        self._reports = Reports(run)
        self._writer: SpoolWriter | None = None
        self._consignment: Consignment | None = None
        self._finished: list[Consignment] = []
        self._tend_time = 0
        self._begin_time = 0
        self._begin_error: Exception | None = None
        self._unwritten: Counter[str] = Counter()

    def _append(
        self, counts: Mapping[str, int], time: int, add: Callable[[SpoolWriter], None], description: object = ""
    ) -> None:
        """Has `add` write values, so many of each metric; the description is that of the first."""
        try:
            with self._lock:
                writer = self._writer or self._begin(time)
                add(writer)
                if not isinstance(description, str) or description:
                    self._describe(writer, next(iter(counts)), description)
                if is_due(self._tend_time, time):
                    self._tend(time)
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._lose(counts, error)
        if self._reports.untold:
            self._reports.tell()

    def _describe(self, writer: SpoolWriter, name: str, description: object) -> None:
        try:
            if text := text_of(description):
                writer.describe(name, text)
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._reports.add_trouble(f"a description of metric {name!r} is not stored", error)

    def _begin(self, time: int) -> SpoolWriter:
        """Makes the spool of this process; where that fails, again after a while.

        Raises:
            OSError: It cannot be made.
        """
        if self._begin_error is not None and not is_due(self._begin_time, time):
            raise self._begin_error.with_traceback(None)
        try:
            writer = self._write_after(None)
        except (OSError, ValueError) as error:
            self._begin_error, self._begin_time = error, time + TEND_MICROSECONDS
            raise
        if writer is None:
            return self._writer or self._begin(time)
        if self._unwritten:
            metrics, count = list(self._unwritten), sum(self._unwritten.values())
            writer.drop(count, getattr(self._begin_error, "errno", None) or 0, metrics)
            self._unwritten.clear()
        self._begin_error, self._tend_time = None, 0
        return writer

    def _tend(self, time: int) -> None:
        """Sees that an uplink lives and that the spool is still there, and passes on what was refused.

        It comes after a write: an uplink that ends looks for new records once more after it gave its lock back.
        """
        self._tend_time = time + TEND_MICROSECONDS
        try:
            if self._address != OFFLINE and self._wants_uplink():
                ensure_uplink(group_folder(self._address))
        except OSError as error:
            self._reports.add_trouble("what is logged stays on this machine until that passes", error)
        self._collect()
        if self._writer is not None and not self._writer.is_there:
            self._reports.add_trouble("what was logged is lost", FileNotFoundError("somebody removed the spool"))
            self._writer.abandon()
            self._writer = self._consignment = None
        self._make_room()

    def _wants_uplink(self) -> bool:
        """Whether the spool is to be carried, by another token perhaps."""
        return self._consignment is None or not self._consignment.is_stopped or self._consignment.denial is not None

    def _make_room(self) -> None:
        """Begins another spool where this one is long, and stops or goes on with writing as the limit says."""
        if self._writer is None or self._consignment is None:
            return
        if not has_room(self._size_bytes(), self._writer.path.parent):
            self._writer.hold_back()
        elif self._writer.is_held_back:
            self._writer.resume()
        if self._writer.position > segment_bytes() and not self._writer.is_held_back:
            self._go_on(self._writer, self._consignment)

    def _check_file(self, file_bytes: int) -> None:
        """Sees that there is room for a file.

        Raises:
            OSError: There is none, or no spool can be made.
        """
        with self._lock:
            writer = self._writer or self._begin(time_ns() // 1000)
            check_file(self._size_bytes(), file_bytes, writer.path.parent)

    def _size_bytes(self) -> int:
        return sum(consignment.size_bytes for consignment in self._consignments())

    def _go_on(self, writer: SpoolWriter, consignment: Consignment) -> None:
        """Begins another spool; not in a signal handler that interrupts who writes to this one."""
        if not is_held_once(self._lock):
            return
        try:
            following = self._write_after(writer)
        except (OSError, ValueError):
            return  # this one goes on growing
        if following is None:
            return
        try:
            self._finished.append(consignment)
            consignment.want(None)
            with contextlib.suppress(OSError):
                following.take_follows(writer)
        finally:  # nothing of what follows is carried up before this one has ended
            with contextlib.suppress(OSError):
                writer.finish(goes_on=True)

    def _write_after(self, before: SpoolWriter | None) -> SpoolWriter | None:
        """Makes a spool and writes to it from now on; None: a signal handler was faster, so it is removed again."""
        folder = before.path.parent if before else group_folder(self._address)
        writer = None
        try:
            writer = SpoolWriter(folder, self._run, self._address, before)
            consignment = Consignment(writer.path, writer.kept)
            if self._writer is before:  # no call between this and the next line: a signal handler may log in any
                self._writer, self._consignment = writer, consignment
        finally:  # a signal handler may raise as well: an interrupt, or for its depth when it is interrupted itself
            if writer is not None and self._writer is not writer:
                writer.discard()
        return writer if self._writer is writer else None

    def _tend_safely(self) -> None:
        with self._patient_lock(LOOK_SECONDS) as is_held, contextlib.suppress(OSError):
            if is_held:
                self._tend(time_ns() // 1000)
        self._reports.tell()

    @contextlib.contextmanager
    def _patient_lock(self, seconds: float) -> Iterator[bool]:
        """Holds the lock if it can be had in this time; else who has it is interrupted, and this goes on without it."""
        is_held = self._lock.acquire(timeout=max(seconds, 0))
        try:
            yield is_held
        finally:
            if is_held:
                self._lock.release()

    def _collect(self) -> None:
        gone = [each for each in self._finished if not each.is_there]
        for consignment in self._consignments():
            for refusal in consignment.refusals():
                self._reports.add_refusal(refusal)
            if denial := consignment.denial:
                self._reports.add_trouble(KEPT, AzureMLException(denial.message))
        self._finished[:] = [each for each in self._finished if each not in gone]

    def _consignments(self) -> list[Consignment]:
        return self._finished if self._consignment is None else [*self._finished, self._consignment]

    def _mark(self) -> None:
        """Sets what a flush waits for. On a full disk followed files are left out: a mark needs room."""
        if self._writer is None or self._consignment is None:
            return
        number = 0
        with contextlib.suppress(OSError):
            number = self._writer.mark()
        self._consignment.want(self._writer.position, number)

    def _lose(self, counts: Mapping[str, int], error: Exception) -> None:
        """Counts values that are not written, so many of each metric."""
        with self._lock:
            for name, count in counts.items():
                if isinstance(error, Refused):
                    self._refuse(Refusal(name[:MAX_METRIC_CHARACTERS], error.reason, str(error), count))
                else:
                    self._drop(name, count, error)
            if is_due(self._tend_time, time := time_ns() // 1000) and self._writer is not None:
                self._tend(time)
        self._reports.tell()

    def _drop(self, name: str, count: int, error: Exception) -> None:
        self._reports.add_drop(count, error)
        if self._writer is not None:
            self._writer.drop(count, getattr(error, "errno", None) or 0, [name])
        elif name in self._unwritten or len(self._unwritten) < MAX_METRICS:
            self._unwritten[name] += count

    def _refuse(self, refusal: Refusal) -> None:
        self._reports.add_refusal(refusal)
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.refuse(refusal)

    def _leave_parent(self) -> None:
        """In a child process: what was open belongs to the parent."""
        if self._writer is not None:
            with contextlib.suppress(OSError):  # a child that closes what it inherits
                self._writer.abandon()
        SpoolQueue.__init__(self, self._run, self._address)


def text_of(description: object) -> str:
    """What a description says."""
    return "" if description is None else str(description)


def is_due(due: int, time: int) -> bool:
    """Whether what is done every `TEND_MICROSECONDS` is due; also where the clock was set back."""
    return not 0 < due - time <= TEND_MICROSECONDS
