"""`python -m runstream._uplink`: the process that carries the spools of one group."""

import argparse
import contextlib
import logging.handlers
import os
import resource
import sys
from pathlib import Path
from typing import Final

from runstream._spool.lock import lock_file
from runstream._spool.places import LOCK_NAME, LOG_NAME

LOG_BYTES: Final = 1024 * 1024
OPEN_FILES: Final = 8_192


def main() -> None:
    """Leaves the process that started this one, and carries."""
    arguments = _arguments()
    lock = arguments.lock if arguments.lock is not None else lock_file(arguments.spool_dir / LOCK_NAME)
    if lock is None:
        sys.exit("another uplink carries this folder")
    if not arguments.foreground and os.fork():
        os._exit(0)
    os.set_inheritable(lock, False)
    _log_to(arguments.spool_dir / LOG_NAME)
    _allow_files()
    _carry(arguments.spool_dir, lock)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m runstream._uplink", description=__doc__)
    parser.add_argument("--spool-dir", type=Path, required=True, help="the folder of the group")
    parser.add_argument("--lock", type=int, help="the open file that locks the group; default: lock it now")
    parser.add_argument("--foreground", action="store_true", help="stay a child of the process that starts this one")
    return parser.parse_args()


def _allow_files() -> None:
    """Allows this process as many open files as the system lets it have: each spool takes two."""
    limit, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if most == resource.RLIM_INFINITY else min(OPEN_FILES, most)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(limit, wanted), most))


def _log_to(path: Path) -> None:
    handler = logging.handlers.RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1)
    handler.setFormatter(logging.Formatter("%(asctime)s %(process)d %(levelname)s %(message)s"))
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _carry(group: Path, lock: int) -> None:
    import asyncio

    from runstream._uplink.process import carry_group

    try:
        asyncio.run(carry_group(group, lock))
    except Exception:
        logging.getLogger(__name__).exception("the uplink failed")
        raise


if __name__ == "__main__":
    main()
