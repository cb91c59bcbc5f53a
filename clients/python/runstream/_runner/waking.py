"""Sees to an uplink before there is anything to carry. It is imported by the guard, so it imports little."""

import contextlib

from runstream._spool.launch import ensure_uplink
from runstream._spool.places import group_folder


def wake_uplink(address: str) -> None:
    """Starts an uplink unless one lives, so that it is ready when there is something to carry."""
    with contextlib.suppress(OSError):
        group = group_folder(address)
        group.mkdir(mode=0o700, parents=True, exist_ok=True)
        ensure_uplink(group)
