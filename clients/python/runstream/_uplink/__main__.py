"""`python -m runstream._uplink --spool-dir GROUP`: carries the spools of one group. Writers start it by themselves."""

import argparse
import asyncio
import contextlib
import logging
import os
import signal
import sys
from pathlib import Path

from runstream._spool.lock import lock_file
from runstream._spool.places import EVENTS_SUFFIX, LOCK_NAME, LOG_NAME, PROGRESS_SUFFIX, spools_in

IDLE_SECONDS = 600.0
LINGER_SECONDS = 2.0


def main() -> None:
    """Carries until there is no work, or ends at once when another uplink has the group."""
    arguments = _parse()
    group: Path = arguments.spool_dir
    lock: int | None = arguments.lock
    if lock is None:
        lock = lock_file(group / LOCK_NAME)
    else:
        _stand_alone()
    if lock is None:
        sys.exit(f"another uplink carries the spools in {group}")
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    _work(group, lock, arguments.idle_seconds, arguments.linger_seconds)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="runstream._uplink", description="Carries spools to the services.")
    parser.add_argument("--spool-dir", type=Path, required=True, help="the folder of the group")
    parser.add_argument("--lock", type=int, help="descriptor of its lock, from who started this process")
    parser.add_argument(
        "--idle-seconds", type=float, default=IDLE_SECONDS, help="ends when nothing is logged for so long"
    )
    parser.add_argument(
        "--linger-seconds", type=float, default=LINGER_SECONDS, help="ends so long after the last spool"
    )
    return parser.parse_args()


def _stand_alone() -> None:
    """Goes on in a process that is no child of the script: nobody who ends the script's children ends it."""
    if os.fork():
        os._exit(0)


def _work(group: Path, lock: int, idle_seconds: float, linger_seconds: float) -> None:
    from runstream._uplink.uplink import Uplink, sizes_in  # only here: grpc must not be there before the fork

    held: int | None = lock
    while held is not None:
        os.truncate(held, 0)
        os.pwrite(held, f"{os.getpid()}\n".encode(), 0)
        left = asyncio.run(Uplink(group, idle_seconds, linger_seconds).run())
        _unlock(group, held)
        # A writer looks for the lock after it wrote, so what came before the lock was given back is seen here.
        held = None if sizes_in(group) == left else lock_file(group / LOCK_NAME)
    if group.exists() and not spools_in(group):
        _clear(group)


def _unlock(group: Path, lock: int) -> None:
    (group / LOCK_NAME).unlink(missing_ok=True)
    os.close(lock)


def _clear(group: Path) -> None:
    """Removes what is left of a group without spools; a writer that has just begun keeps its own."""
    for path in group.iterdir():
        if path.name == LOG_NAME or path.suffix in (PROGRESS_SUFFIX, EVENTS_SUFFIX):
            path.unlink(missing_ok=True)
    with contextlib.suppress(OSError):
        group.rmdir()


if __name__ == "__main__":
    main()
