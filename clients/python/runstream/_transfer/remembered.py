"""Uploads that were begun, kept on disk so that another process goes on with one after a crash.

    <state>/uploads/<key>.json       which upload brings a content to the workspace of an address

It says nothing of what has arrived: the services know that.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

from runstream._channel.address import state_folder
from runstream._spool.lock import lock_file

MAX_BYTES: Final = 4_096
LIFETIME_SECONDS: Final = 24 * 60 * 60
"""The services forget an upload a day after it was begun."""


class RememberedUpload:
    """The upload of one content to one workspace, if there is one under way that nobody else carries on."""

    def __init__(self, address: str, workspace: str, digest: str) -> None:
        key = hashlib.sha256(f"{address}\n{workspace}\n{digest}".encode()).hexdigest()[:32]
        self._file = state_folder() / "uploads" / f"{key}.json"
        self._lock: int | None = None

    @contextmanager
    def claimed(self) -> Iterator[None]:
        """Keeps others from carrying it on. Where somebody else does, or the disk does not let it, nothing is known."""
        with suppress(OSError):
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_old(self._file.parent)
            self._lock = lock_file(self._file, keeps=True)
        try:
            yield
        finally:
            self._release()

    def find(self) -> str:
        """The id of the upload; empty: none is known."""
        if self._lock is not None:
            with suppress(OSError, ValueError, KeyError, TypeError):
                noted: Any = json.loads(os.pread(self._lock, MAX_BYTES, 0))
                return str(noted["upload_id"])
        return ""

    def note(self, upload_id: str) -> None:
        """Remembers an upload."""
        if self._lock is not None:
            with suppress(OSError):
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, json.dumps({"upload_id": upload_id}).encode(), 0)

    def forget(self) -> None:
        """Remembers nothing any more."""
        if self._lock is not None:
            with suppress(OSError):
                os.ftruncate(self._lock, 0)

    def _release(self) -> None:
        if self._lock is None:
            return
        if not self.find():
            self._file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = None


def _forget_old(folder: Path) -> None:
    for file in folder.iterdir():
        with suppress(FileNotFoundError):
            if file.stat().st_mtime < time.time() - LIFETIME_SECONDS:
                file.unlink()
