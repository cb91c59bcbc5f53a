"""Says that the object store is in trouble without saying it for each call."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from time import monotonic

from runstream_server.errors import BucketUnavailable

_PAUSE_SECONDS = 60.0


@dataclass(slots=True)
class _Told:
    time: float
    count: int


class TroubleLog:
    """Logs each kind of trouble at once, and while it lasts once a minute with how often it came since."""

    def __init__(self, logger: logging.Logger, clock: Callable[[], float] = monotonic) -> None:
        self._logger = logger
        self._clock = clock
        self._told: dict[str, _Told] = {}

    def note(self, trouble: BucketUnavailable, error: Exception) -> None:
        """Takes note of trouble and of what it comes from; logs it if it is time."""
        now, told = self._clock(), self._told.get(trouble.reason)
        if told is not None and now - told.time < _PAUSE_SECONDS:
            told.count += 1
            return
        self._told[trouble.reason] = _Told(now, 0)
        extra = {
            "reason": trouble.reason,
            "error": f"{type(error).__name__}: {error}",
            "not_logged": told.count if told else 0,
        }
        self._logger.warning(trouble.message, extra=extra)
