"""Waits until spools are carried up."""

import time
from collections.abc import Callable
from pathlib import Path

from runstream._spool.artifacts import KeptFiles, kept_bytes
from runstream._spool.events import EventReader, Refusal, Stop
from runstream._spool.launch import is_uplink_alive
from runstream._spool.places import LOG_NAME, events_of, group_folder, progress_of
from runstream._spool.progress import Progress, read_progress
from runstream.exceptions import AzureMLException

FIRST_PAUSE_SECONDS = 0.001
LAST_PAUSE_SECONDS = 0.02
TEND_SECONDS = 1.0


class Consignment:
    """One spool of this process on its way, as far as this process wants it to go."""

    def __init__(self, spool: Path, kept: KeptFiles) -> None:
        self._spool = spool
        self._kept = kept
        self._events = EventReader(events_of(spool))
        self._offset: int | None = None
        self._mark = 0
        self._stop: Stop | None = None

    def want(self, offset: int | None, mark: int = 0) -> None:
        """Sets what there is to wait for: everything before `offset`, and the flush `mark`. None: all, to the end."""
        self._offset, self._mark = offset, mark

    @property
    def spool(self) -> Path:
        """The file."""
        return self._spool

    @property
    def is_there(self) -> bool:
        """Whether there is still anything to carry up."""
        return self._spool.exists()

    @property
    def size_bytes(self) -> int:
        """How much room it takes with its files; nothing once it is carried up. For who has its writer locked."""
        try:
            return self._spool.stat().st_size + self._kept.size_bytes
        except OSError:
            return 0

    @property
    def pending_bytes(self) -> int:
        """How much of it is not carried up, at least 1 until it is removed; nothing once the uplink gave it up."""
        try:
            size = self._spool.stat().st_size
        except OSError:
            return 0
        progress = read_progress(progress_of(self._spool)) or Progress()
        return 0 if progress.stopped else max(size - progress.offset + kept_bytes(self._spool), 1)

    @property
    def is_stopped(self) -> bool:
        """Whether the uplink gave up on it."""
        progress = read_progress(progress_of(self._spool))
        return progress is not None and progress.stopped

    @property
    def denial(self) -> Stop | None:
        """Why it waits for another token; None: it does not."""
        if not self.is_stopped:
            return None
        return self._stop if self._stop is not None and self._stop.is_denial else None

    def refusals(self) -> list[Refusal]:
        """What the services refused since the last call."""
        events = self._events.read()
        self._stop = next((event for event in reversed(events) if isinstance(event, Stop)), self._stop)
        return [event for event in events if isinstance(event, Refusal)]

    def has_arrived(self) -> bool:
        """Whether everything wanted is acknowledged. A spool that is gone was carried up to its end and removed.

        Raises:
            AzureMLException: The services want nothing more of it.
        """
        progress = read_progress(progress_of(self._spool))
        if progress is None or self._offset is None:
            if not self._spool.exists():
                return True
        elif progress.offset >= self._offset and progress.mark >= self._mark:
            return True
        if progress is not None and progress.stopped:
            self.refusals()
            why = self._stop.message if self._stop else "see the log of the uplink"
            raise AzureMLException(f"The queue is not carried up any more: {why}. It stays in {self._spool}.")
        return False


def explain(address: str) -> str:
    """Why what was logged may not have arrived at the services at `address`, for people."""
    group = group_folder(address)
    lives = "is running" if is_uplink_alive(group) else "is not running"
    return (
        f"Not everything has been acknowledged by the services at {address}; the process that sends it {lives} and "
        f"writes its log to {group / LOG_NAME}. What was logged is kept and sent later."
    )


def wait(
    consignments: list[Consignment], timeout_seconds: float, tend: Callable[[], None], explain: Callable[[], str]
) -> None:
    """Waits until all of them have arrived, and calls `tend` every `TEND_SECONDS`; `explain` says why they may not.

    Raises:
        AzureMLException: They did not within `timeout_seconds`, or cannot.
    """
    begin = time.monotonic()
    pause, tended = FIRST_PAUSE_SECONDS, begin
    while not all(consignment.has_arrived() for consignment in consignments):
        now = time.monotonic()
        if now - begin >= timeout_seconds:
            raise AzureMLException(f"The queue could not be flushed within {timeout_seconds:g} seconds. {explain()}")
        if now - tended >= TEND_SECONDS:
            tended = now
            tend()
        time.sleep(min(pause, max(begin + timeout_seconds - now, 0)))
        pause = min(2 * pause, LAST_PAUSE_SECONDS)
