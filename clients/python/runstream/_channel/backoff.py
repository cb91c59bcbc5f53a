"""How long to wait before trying again."""

import random

FIRST_SECONDS = 0.2
FACTOR = 1.6
LONGEST_SECONDS = 30.0
JITTER = 0.2


def backoff_seconds(failures: int) -> float:
    """The pause after this many failures before the last one: 0.2 s, growing by 1.6 up to 30 s, 20 % more or less."""
    longest = min(FIRST_SECONDS * FACTOR ** min(failures, 20), LONGEST_SECONDS)
    return longest * random.uniform(1 - JITTER, 1 + JITTER)
