"""What a process does about its spools when it exits: it waits for them as long as they move."""

import logging
import os
import time
from collections.abc import Callable
from typing import Final

from runstream._spool.flush import LAST_PAUSE_SECONDS, Consignment

EXIT_VARIABLE: Final = "RUNSTREAM_EXIT_SECONDS"
"""How long a process that exits waits for values that do not move; 0: not at all."""
EXIT_SECONDS: Final = 10.0
SILENT_SECONDS: Final = 1.0
"""How long it waits without a word."""
TEND_SECONDS: Final = 1.0

_logger = logging.getLogger("runstream")


def await_departed(consignments: list[Consignment], tend: Callable[[], None]) -> None:
    """Waits until spools are carried up, for `RUNSTREAM_EXIT_SECONDS` after the last sign of progress at most.

    It says what it waits for, and what stays behind. Ctrl-C ends the wait.
    """
    limit = exit_seconds()
    try:
        if limit and not _wait(consignments, limit, tend):
            _logger.warning("Runstream: %s", _rest(consignments))
    except KeyboardInterrupt:
        _logger.warning("Runstream: %s", _rest(consignments))


def exit_seconds() -> float:
    """How long a process that exits waits; what cannot be understood is the default."""
    try:
        return max(float(os.environ.get(EXIT_VARIABLE) or EXIT_SECONDS), 0.0)
    except ValueError:
        return EXIT_SECONDS


def _wait(consignments: list[Consignment], limit: float, tend: Callable[[], None]) -> bool:
    begin = moved = tended = time.monotonic()
    pending, is_told = -1, False
    while left := sum(each.pending_bytes for each in consignments):
        now = time.monotonic()
        if left != pending:
            pending, moved = left, now
        if now - moved >= limit:
            return False
        if not is_told and now - begin >= SILENT_SECONDS:
            is_told = True
            _logger.warning("Runstream: waiting until %d bytes of what was logged are stored; Ctrl-C skips that", left)
        if now - tended >= TEND_SECONDS:
            tended = now
            tend()
        time.sleep(LAST_PAUSE_SECONDS)
    return True


def _rest(consignments: list[Consignment]) -> str:
    left = sum(each.pending_bytes for each in consignments)
    folder = consignments[0].spool.parent
    return (
        f"{left} bytes of what was logged are not stored yet. They are kept in {folder} and sent in the background as "
        "long as this machine runs, or by `runstream sync`"
    )
