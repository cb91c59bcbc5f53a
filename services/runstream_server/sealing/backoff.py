"""How long what failed is left alone."""

import random
from datetime import timedelta

_LONGEST_SECONDS = 600.0
_MOST_DOUBLINGS = 10


def backoff(failures: int) -> timedelta:
    """A second, doubled with each failure before, up to ten minutes; a fifth more or less, so that tasks spread."""
    seconds = min(2.0 ** min(failures, _MOST_DOUBLINGS), _LONGEST_SECONDS)
    return timedelta(seconds=seconds * random.uniform(0.8, 1.2))
