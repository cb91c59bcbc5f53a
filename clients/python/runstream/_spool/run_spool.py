"""What the training process logs a run into."""

import atexit
import contextlib
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from time import time_ns
from typing import Any

from runstream._channel.address import OFFLINE
from runstream._spool.events import Refusal
from runstream._spool.flush import Consignment, explain, wait
from runstream._spool.following import Following, before_flush
from runstream._spool.format import DOUBLE, NULL
from runstream._spool.kinds import OtherKinds, check_name, text_of
from runstream._spool.launch import ensure_uplink, trust_uplink
from runstream._spool.leaving import await_departed
from runstream._spool.lock import is_held_once
from runstream._spool.places import group_folder
from runstream._spool.records import Scalar
from runstream._spool.reports import Reports
from runstream._spool.room import has_room, segment_bytes
from runstream._spool.values import Stretch, convert, convert_list, convert_step, is_step
from runstream._spool.writer import MAX_METRIC_CHARACTERS, MAX_METRICS, Refused, SpoolWriter
from runstream.exceptions import UserErrorException

TEND_MICROSECONDS = 1_000_000
"""How often a process that logs looks after its uplink, and tries again to make a spool where it could not."""
NO_STEP = "a step is not an integer of 64 bits, and the value is stored without it"
LOCK_SECONDS = 2.0
"""How long flushes wait for who logs. It may be held up for good: by a signal handler that waits for this flush."""
LOOK_SECONDS = 0.05
"""The same for what is only tried now and then."""


class RunSpool(Following, OtherKinds):
    """The queue of one run in this process: what is logged is safe when the method returns, and carried up later.

    Thread-safe, and usable in a signal handler. A forked process writes a spool of its own from its first value on. But
    for wrong arguments nothing here raises: what cannot be written is counted and warned of once.
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

    @classmethod
    def open(cls, run: str, address: str) -> "RunSpool":
        """The queue of the run `workspaces/{workspace}/runs/{run}` at the services at `address`: one per process."""
        known = _registry.get((run, address))
        if known is not None:
            return known
        with _registry_lock:
            return _registry.setdefault((run, address), cls(run, address))

    @classmethod
    def find(cls, run: str, address: str) -> "RunSpool | None":
        """The queue that `open` returned in this process for the run; None if there is none."""
        return _registry.get((run, address))

    def log(self, name: str, value: object, step: object = None, description: str = "") -> None:
        """Logs one value; what becomes of it says `convert`. A step that is no integer is left out, with a warning.

        Raises:
            UserErrorException: The value is a list, or the name no text.
        """
        time = time_ns() // 1000
        kind: int = DOUBLE
        stored: Any = value
        at: Any = step
        try:
            if type(value) is not float or type(name) is not str or (step is not None and not is_step(step)):
                kind, stored, at = self._convert(name, value, step)
            with self._lock:
                writer = self._writer or self._begin(time)
                if kind == DOUBLE:
                    writer.add_double(name, stored, time, at)
                else:
                    writer.add_value(name, kind, stored, time, at)
                if not isinstance(description, str) or description:
                    self._describe(writer, name, description)
                if time >= self._tend_time:
                    self._tend(time)
        except UserErrorException:
            raise
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._lose(name, 1, error)

    def log_list(self, name: str, values: Iterable[object], description: str = "") -> None:
        """Logs values at once, in order; an iterator is used up. No values make a metric that exists and is empty.

        Raises:
            TypeError: It cannot be iterated over.
            AzureMLException: An element is a list or dict.
            UserErrorException: The name is no text.
        """
        time = time_ns() // 1000
        check_name(name)
        stretches, notes = convert_list(values)
        for note in notes:
            self._note(name, note)
        for stretch in stretches or [Stretch(NULL, 0)]:
            self._append(name, stretch.length, time, _list_adder(name, stretch, time), description)

    def flush(self, timeout_seconds: float) -> None:
        """Waits until everything logged in this process is acknowledged, followed files as they are now included.

        Raises:
            AzureMLException: It took longer than `timeout_seconds`; or values were refused or lost since the last
                flush: then it lists names and reasons.
        """
        self.settle(timeout_seconds)
        with self._patient_lock(LOCK_SECONDS):
            self._reports.raise_losses()

    def settle(self, timeout_seconds: float) -> None:
        """Waits as `flush` does, and leaves what was refused or lost for the next flush to raise.

        Raises:
            AzureMLException: It took longer than `timeout_seconds`.
        """
        for prepare in before_flush:
            prepare()
        with self._patient_lock(min(LOCK_SECONDS, timeout_seconds)):
            if self._address == OFFLINE:
                return
            self._mark()
            awaited = list(self._consignments())
            if awaited:
                self._tend_safely()
        wait(awaited, timeout_seconds, self._tend_safely, lambda: explain(self._address))
        if awaited:
            trust_uplink(group_folder(self._address))
        with self._patient_lock(LOCK_SECONDS):
            self._collect()
            self._finished[:] = [each for each in self._finished if each not in awaited]

    def finish(self) -> None:
        """Says that this process is done with the run, without waiting; logging again begins a new spool."""
        with self._patient_lock(LOCK_SECONDS) as is_held:
            if not is_held or self._writer is None or self._consignment is None:
                return
            writer, self._writer = self._writer, None
            self._consignment.want(None)
            self._finished.append(self._consignment)
            self._consignment = None
            try:
                writer.finish()
            except OSError as error:
                self._reports.add_trouble("the end of the spool is not written", error)
            self._tend_safely()

    def _convert(self, name: str, value: object, step: object) -> tuple[int, Scalar, int | None]:
        kind, stored = self._convert_value(name, value)
        return kind, stored, self._convert_step(name, step)

    def _convert_value(self, name: str, value: object) -> tuple[int, Scalar]:
        check_name(name)
        kind, stored, note = convert(value)
        if note:
            self._note(name, note)
        return kind, stored

    def _note(self, name: str, note: str) -> None:
        self._reports.add_note(name, note)

    def _convert_step(self, name: str, step: object) -> int | None:
        try:
            return convert_step(step)
        except UserErrorException:
            self._reports.add_note(name, NO_STEP)
            return None

    def _append(
        self, name: str, count: int, time: int, add: Callable[[SpoolWriter], None], description: object = ""
    ) -> None:
        try:
            with self._lock:
                writer = self._writer or self._begin(time)
                add(writer)
                if not isinstance(description, str) or description:
                    self._describe(writer, name, description)
                if time >= self._tend_time:
                    self._tend(time)
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._lose(name, count, error)

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
        if self._begin_error is not None and time < self._begin_time:
            raise self._begin_error.with_traceback(None)
        try:
            writer = SpoolWriter(group_folder(self._address), self._run, self._address)
        except (OSError, ValueError) as error:
            self._begin_error, self._begin_time = error, time + TEND_MICROSECONDS
            raise
        consignment = Consignment(writer.path)
        if self._writer is None:  # no call between this and the next line: a signal handler may log in any
            self._writer, self._consignment = writer, consignment
        if self._writer is not writer:
            writer.discard()
            return self._writer
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
            if self._address != OFFLINE and (self._consignment is None or not self._consignment.is_stopped):
                ensure_uplink(group_folder(self._address))
        except OSError as error:
            self._reports.add_trouble("what is logged stays on this machine for now", error)
        self._collect()
        if self._writer is not None and not self._writer.is_there:
            self._reports.add_trouble("what was logged is lost", FileNotFoundError("somebody removed the spool"))
            self._writer.abandon()
            self._writer = self._consignment = None
        self._make_room()

    def _make_room(self) -> None:
        """Begins another spool where this one is long, and stops or goes on with writing as the limit says."""
        if self._writer is None or self._consignment is None:
            return
        if not has_room(each.spool for each in self._consignments()):
            self._writer.hold_back()
        elif self._writer.is_held_back:
            self._writer.resume()
        if self._writer.position > segment_bytes() and not self._writer.is_held_back:
            self._go_on(self._writer, self._consignment)

    def _go_on(self, writer: SpoolWriter, consignment: Consignment) -> None:
        """Begins another spool; not in a signal handler that interrupts who writes to this one."""
        if not is_held_once(self._lock):
            return
        try:
            following = SpoolWriter(group_folder(self._address), self._run, self._address, writer)
        except (OSError, ValueError):
            return  # this one goes on growing
        begun = Consignment(following.path)
        if self._writer is not writer:
            following.discard()
            return
        self._writer, self._consignment = following, begun
        consignment.want(None)
        self._finished.append(consignment)
        with contextlib.suppress(OSError):
            following.take_follows(writer)
        with contextlib.suppress(OSError):
            writer.finish(goes_on=True)

    def _tend_safely(self) -> None:
        with self._patient_lock(LOOK_SECONDS) as is_held, contextlib.suppress(OSError):
            if is_held:
                self._tend(time_ns() // 1000)

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

    def _lose(self, name: str, count: int, error: Exception) -> None:
        with self._lock:
            if isinstance(error, Refused):
                self._refuse(Refusal(name[:MAX_METRIC_CHARACTERS], error.reason, str(error), count))
                return
            self._reports.add_drop(count, error)
            if self._writer is not None:
                self._writer.drop(count, getattr(error, "errno", None) or 0, [name])
            elif name in self._unwritten or len(self._unwritten) < MAX_METRICS:
                self._unwritten[name] += count
            if (time := time_ns() // 1000) >= self._tend_time and self._writer is not None:
                self._tend(time)

    def _refuse(self, refusal: Refusal) -> None:
        self._reports.add_refusal(refusal)
        if self._writer is not None:
            with contextlib.suppress(OSError):
                self._writer.refuse(refusal)

    def _leave_parent(self) -> None:
        """In a child process: what was open belongs to the parent."""
        if self._writer is not None:
            self._writer.abandon()
        RunSpool.__init__(self, self._run, self._address)


def _list_adder(name: str, stretch: Stretch, time: int) -> Callable[[SpoolWriter], None]:
    return lambda writer: writer.add_list(name, *stretch, time)


def _leave() -> None:
    """At the exit of the process: ends all spools, and waits until they are carried up or do not move any more."""
    spools = list(_registry.values())
    for spool in spools:
        spool.finish()

    def tend() -> None:
        for spool in spools:
            spool._tend_safely()

    left = [it for spool in spools if spool._address != OFFLINE for it in spool._consignments()]
    if left:
        await_departed(left, tend)
        tend()


def _leave_parent() -> None:
    global _registry_lock
    _registry_lock = threading.RLock()
    for spool in _registry.values():
        spool._leave_parent()


_registry: dict[tuple[str, str], RunSpool] = {}
_registry_lock = threading.RLock()
atexit.register(_leave)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_parent)
