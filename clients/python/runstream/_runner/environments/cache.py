"""Environments that exist on this machine."""

import contextlib
import json
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from runstream._channel.threads import in_thread
from runstream._runner.locks import FileLock
from runstream._runner.prepare import cache_root

MARK_SUFFIX = ".json"
LOCK_SUFFIX = ".lock"


@dataclass(frozen=True)
class CachedEnvironment:
    """An environment that is complete."""

    folder: Path
    description: str
    """What it is of, for people."""
    used_time: float
    """When it was last used, in seconds since the Unix epoch."""


def environments_root() -> Path:
    """Where the environments are."""
    return cache_root() / "environments"


@asynccontextmanager
async def environment(
    key: str, description: str, make: Callable[[Path], Awaitable[None]], wait: Callable[[], None]
) -> AsyncIterator[Path]:
    """The folder of an environment, which `make` makes where it does not exist; it stays while the context is open.

    `wait` is called when somebody else is making it. What was not made to its end is made anew.
    """
    folder = environments_root() / key
    await in_thread(folder.parent.mkdir, mode=0o700, parents=True, exist_ok=True)
    while True:
        async with FileLock.held(_lock_of(folder), shared=True, wait=wait):
            if _is_complete(folder):
                os.utime(_mark_of(folder))
                yield folder
                return
        async with FileLock.held(_lock_of(folder), wait=wait):
            if not _is_complete(folder):
                await in_thread(shutil.rmtree, folder, ignore_errors=True)
                await make(folder)
                _mark_of(folder).write_text(json.dumps({"description": description}), "utf-8")


def list_environments() -> list[CachedEnvironment]:
    """The environments of this machine, that used last first."""
    return sorted(_complete(), key=lambda it: -it.used_time)


def prune(unused_seconds: float) -> list[CachedEnvironment]:
    """Removes environments that nobody uses and that were not used for so long; those removed.

    What was not made to its end, and nobody is making, counts as well.
    """
    limit = time.time() - unused_seconds
    known = [*list_environments(), *_incomplete()]
    return [each for each in known if each.used_time <= limit and _remove(each.folder)]


def _remove(folder: Path) -> bool:
    lock = FileLock(_lock_of(folder))
    if not lock.take():
        return False
    try:
        _mark_of(folder).unlink(missing_ok=True)
        shutil.rmtree(folder, ignore_errors=True)
        _lock_of(folder).unlink(missing_ok=True)
    finally:
        lock.give_back()
    return True


def _complete() -> Iterator[CachedEnvironment]:
    for mark in environments_root().glob(f"*{MARK_SUFFIX}"):
        with contextlib.suppress(OSError, ValueError):
            description = str(json.loads(mark.read_text("utf-8")).get("description", ""))
            yield CachedEnvironment(mark.with_suffix(""), description, mark.stat().st_mtime)


def _incomplete() -> Iterator[CachedEnvironment]:
    for folder in environments_root().glob("*"):
        with contextlib.suppress(OSError):
            if folder.is_dir() and not _mark_of(folder).exists():
                yield CachedEnvironment(folder, "", folder.stat().st_mtime)


def _is_complete(folder: Path) -> bool:
    return _mark_of(folder).exists() and folder.is_dir()


def _mark_of(folder: Path) -> Path:
    return folder.with_suffix(MARK_SUFFIX)


def _lock_of(folder: Path) -> Path:
    return folder.with_suffix(LOCK_SUFFIX)
