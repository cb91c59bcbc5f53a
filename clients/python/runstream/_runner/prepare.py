"""The working directory of a job: the files of its snapshot."""

import contextlib
import hashlib
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import platformdirs

from runstream._channel import Connection
from runstream._channel.threads import in_thread, to_its_end
from runstream._runner.locks import FileLock
from runstream._snapshot.archive import fetch_archive, unpack

CACHE_VARIABLE: Final = "RUNSTREAM_CACHE_DIR"
"""Where snapshots and environments are kept between runs. Default: a folder usual for the platform."""
KEPT_BYTES: Final = 2 * 1024**3
KEPT_COUNT: Final = 200
"""Archives that are kept: those used last."""
PARTIAL_SECONDS: Final = 24 * 3600
"""After so long nobody writes to an archive that is being fetched."""


def cache_root() -> Path:
    """Where this user's caches are."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return Path(chosen).absolute() if chosen else platformdirs.user_cache_path("runstream")


async def fill(connection: Connection, snapshot: str, folder: Path) -> None:
    """Makes a folder with the files of a snapshot; without one it is empty.

    Raises:
        AzureMLException: There is no such snapshot, or it cannot be unpacked here.
        OSError: A file cannot be written.
    """
    await in_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    if snapshot:
        async with _archive(connection, snapshot) as archive:
            await to_its_end(in_thread(unpack, archive, folder))
        await in_thread(_forget_old, archive)


@asynccontextmanager
async def _archive(connection: Connection, snapshot: str) -> AsyncIterator[Path]:
    """The archive of a snapshot, which is fetched once for all runs on this machine and stays while it is used.

    Snapshots are immutable and have different names in different workspaces; the address tells services apart.
    """
    digest = hashlib.sha256(f"{connection.address}\n{snapshot}".encode()).hexdigest()
    archive = cache_root() / "snapshots" / f"{digest}.zip"
    await in_thread(archive.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
    while True:
        async with FileLock.held(_lock_of(archive), shared=True):
            if archive.exists():
                os.utime(archive)
                yield archive
                return
        async with FileLock.held(_lock_of(archive)):
            if not archive.exists():
                await fetch_archive(connection, snapshot, archive)


def _forget_old(kept: Path) -> None:
    """Removes archives that were not used for long, where there are too many or they are too large together.

    What is left of those whose download was killed goes as well.
    """
    size = 0
    for partial in kept.parent.glob(".*.partial"):
        with contextlib.suppress(OSError):
            if time.time() - partial.stat().st_mtime > PARTIAL_SECONDS:
                partial.unlink()
    for number, (_, size_bytes, archive) in enumerate(sorted(_archives(kept.parent), reverse=True)):
        size += size_bytes
        if archive != kept and (number >= KEPT_COUNT or size > KEPT_BYTES):
            _remove(archive)


def _remove(archive: Path) -> None:
    lock = FileLock(_lock_of(archive))
    if lock.take():
        archive.unlink(missing_ok=True)
        _lock_of(archive).unlink(missing_ok=True)
        lock.give_back()


def _archives(folder: Path) -> Iterator[tuple[float, int, Path]]:
    for archive in folder.glob("*.zip"):
        with contextlib.suppress(OSError):
            status = archive.stat()
            yield status.st_mtime, status.st_size, archive


def _lock_of(archive: Path) -> Path:
    return archive.with_suffix(".lock")
