"""What this process knows of the ways to buckets: whether they can be reached from this machine."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from runstream._transfer.http import Host, TransferFailed, Unreachable, host_of

UNKNOWN_ATTEMPTS: Final = 2
"""How often a bucket is tried that has never answered this process."""

_logger = logging.getLogger("runstream")
_answered: set[Host] = set()
_cut_off: set[Host] = set()


@contextmanager
def route(url: str) -> Iterator[None]:
    """Takes note whether the bucket that a URL is of could be connected to within the context."""
    try:
        yield
    except Unreachable:
        raise
    except TransferFailed:
        _answered.add(host_of(url))
        raise
    else:
        _answered.add(host_of(url))


def note_cut_off(host: Host) -> None:
    """Takes note that a bucket cannot be reached, and says so the first time."""
    if host not in _cut_off:
        _cut_off.add(host)
        _logger.warning(
            "The bucket at %s cannot be reached from here; files go through the services, which is slower.", host.netloc
        )


def is_cut_off(host: Host) -> bool:
    """Whether it is known that a bucket cannot be reached."""
    return host in _cut_off


def attempts_left(failed: TransferFailed, attempts: int) -> int:
    """How often what failed like this is worth trying, all in all."""
    if not failed.transient:
        return 0
    if isinstance(failed, Unreachable) and failed.host not in _answered:
        return min(attempts, UNKNOWN_ATTEMPTS)
    return attempts
