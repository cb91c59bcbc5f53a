"""Tells the user of a process what was lost: a warning line at once, an exception for who flushes."""

import logging
from collections import deque

from runstream._spool.events import Refusal
from runstream._spool.room import why
from runstream.exceptions import AzureMLException

MAX_WARNINGS = 1_000
"""Different warnings that one run gets in one process."""
MAX_LISTED = 20

_logger = logging.getLogger("runstream")


class Reports:
    """What was lost of one run in this process. Not thread-safe but for `tell`.

    Nothing is written to the log before `tell`: a handler of the log may itself log metrics, or wait for who does, so
    nobody may write to it who has a spool locked.
    """

    def __init__(self, run: str) -> None:
        self._run = run
        self.untold: deque[tuple[str, tuple[object, ...]]] = deque()
        """Warnings that are not written to the log yet."""
        self._warned: set[tuple[str, ...]] = set()
        self._refused: dict[tuple[str, str], Refusal] = {}
        self._dropped = 0
        self._drop_reason = ""

    def add_refusal(self, refusal: Refusal) -> None:
        """Notes values that were refused."""
        key = refusal.metric, refusal.reason
        known = self._refused.get(key)
        if known is not None or len(self._refused) < MAX_WARNINGS:
            total = refusal.value_count + (known.value_count if known else 0)
            self._refused[key] = refusal._replace(value_count=total)
        self._warn(key, "values of metric %r are not stored: %s", refusal.metric, refusal.message)

    def add_drop(self, count: int, error: Exception) -> None:
        """Notes values that could not be written to the spool."""
        self._dropped += count
        self._drop_reason = _reason(error)
        self._warn(("dropped",), "values cannot be written to the spool and are lost: %s", _reason(error))

    def add_note(self, metric: str, note: str) -> None:
        """Notes that a value was changed to be stored."""
        self._warn((metric, note), "metric %r: %s", metric, note)

    def add_trouble(self, consequence: str, error: Exception) -> None:
        """Notes something that went wrong and what follows from it."""
        self._warn((consequence, _reason(error)), "%s: %s", consequence, _reason(error))

    def tell(self) -> None:
        """Writes to the log what is to be said."""
        while self.untold:
            try:
                text, values = self.untold.popleft()
            except IndexError:
                return  # another thread said it
            _logger.warning("Runstream, %s: " + text, self._run, *values)  # noqa: G003

    def take_losses(self) -> str:
        """What was lost since the last call, names and reasons, for people; empty: nothing."""
        lost = self._list_losses()
        self._refused.clear()
        self._dropped = 0
        return f"Not everything that was logged to {self._run} is stored: {'; '.join(lost)}." if lost else ""

    def tell_losses(self) -> None:
        """Writes to the log what `take_losses` says."""
        if lost := self.take_losses():
            _logger.warning("Runstream: %s", lost)

    def raise_losses(self) -> None:
        """Raises what was lost since the last call.

        Raises:
            AzureMLException: Some values were; it lists the names and why.
        """
        if lost := self.take_losses():
            raise AzureMLException(lost)

    def _list_losses(self) -> list[str]:
        refused = list(self._refused.values())
        lost = [f"{it.value_count} of metric {it.metric!r} ({it.reason}: {it.message})" for it in refused[:MAX_LISTED]]
        if len(refused) > MAX_LISTED:
            lost.append(f"values of {len(refused) - MAX_LISTED} more metrics")
        if self._dropped:
            lost.append(f"{self._dropped} could not be written to the spool ({self._drop_reason})")
        return lost

    def _warn(self, key: tuple[str, ...], text: str, *values: object) -> None:
        if key not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(key)
            self.untold.append((text, values))


def _reason(error: Exception) -> str:
    if isinstance(error, AzureMLException):
        return error.message
    return why(error.errno) if isinstance(error, OSError) and error.errno else str(error) or repr(error)
