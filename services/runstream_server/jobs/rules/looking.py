"""When the queue is looked at for an agent."""

import random
from collections.abc import Callable

LOOK_SECONDS = 5.0
"""How often without any hint, as long as there is something for the agent."""

LONGEST_SECONDS = 60.0
"""How often at least, where there is nothing: hints can be lost."""

_JITTER = 0.2


class Looks:
    """Looks at once after a hint, else now and then: less and less often where there is nothing to be found.

    A queue whose jobs fit nobody is not searched by all idle agents every few seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` tells seconds, and never goes back."""
        self._clock = clock
        self._pause = LOOK_SECONDS
        self._due = clock()

    def hint(self) -> None:
        """Notes that there may be something."""
        self._pause = LOOK_SECONDS
        self._due = self._clock()

    def is_due(self) -> bool:
        """Whether it is time to look."""
        return self._clock() >= self._due

    def looked(self, *, found: bool) -> None:
        """Notes that it was looked, and whether anything was there."""
        self._due = self._clock() + self._pause * random.uniform(1 - _JITTER, 1)
        self._pause = LOOK_SECONDS if found else min(2 * self._pause, LONGEST_SECONDS)
