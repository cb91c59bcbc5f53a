"""What the training process logs a run into."""

import atexit
import os
import threading
from collections.abc import Callable, Iterable
from time import time_ns
from typing import Any

from runstream._channel.address import OFFLINE
from runstream._spool.flush import explain, wait
from runstream._spool.following import Following, before_flush
from runstream._spool.format import DOUBLE, NULL
from runstream._spool.kinds import OtherKinds, check_name
from runstream._spool.launch import trust_uplink
from runstream._spool.leaving import await_departed
from runstream._spool.places import group_folder
from runstream._spool.queue import is_due
from runstream._spool.records import EndOfRun, Scalar
from runstream._spool.values import Stretch, convert_list, is_step
from runstream._spool.writer import SpoolWriter
from runstream.exceptions import UserErrorException

LOCK_SECONDS = 2.0
"""How long flushes wait for who logs. It may be held up for good: by a signal handler that waits for this flush."""


class RunSpool(Following, OtherKinds):
    """The queue of one run in this process: what is logged is safe when the method returns, and carried up later.

    Thread-safe, and usable in a signal handler. A forked process writes a spool of its own from its first value on. But
    for wrong arguments nothing here raises: what cannot be written is counted and warned of once.
    """

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
                if is_due(self._tend_time, time):
                    self._tend(time)
        except UserErrorException:
            raise
        except Exception as error:  # noqa: BLE001  (nothing here may stop a training)
            self._lose({name: 1}, error)
        if self._reports.untold:
            self._reports.tell()

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
            self._append({name: stretch.length}, time, _list_adder(name, stretch, time), description)

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
        self._reports.tell()

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

    def end_run(self, end: EndOfRun) -> None:
        """Has the uplink end the run once the services answer, and says that this process is done with it.

        Raises:
            OSError: That cannot be noted.
        """
        with self._lock:
            writer = self._writer or self._begin(end.time)
            writer.end_run(end)
        self.finish()

    def _convert(self, name: str, value: object, step: object) -> tuple[int, Scalar, int | None]:
        kind, stored = self._convert_value(name, value)
        return kind, stored, self._convert_step(name, step)


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
    for spool in spools:
        spool._reports.tell_losses()


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
