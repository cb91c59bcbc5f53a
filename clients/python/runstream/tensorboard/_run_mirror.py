"""Copies the files that one run has below `logs/` to this machine."""

import hashlib
import logging
import os
from contextlib import aclosing
from pathlib import Path
from typing import Any, Final

from runstream._channel.threads import in_thread
from runstream._transfer.places import Below
from runstream.api.artifacts.v1 import artifact_service_pb2 as artifacts_api
from runstream.api.logs.v1 import log_service_pb2 as logs_api
from runstream.core._log_reading import read_log
from runstream.core._log_tail import RESUMABLE
from runstream.exceptions import AzureMLException, ServiceException

PREFIX: Final = "logs/"
COMPARED_BYTES: Final = 4_096
"""At the end of a file that is here already: they tell whether it is the beginning of what is to be copied."""

_logger = logging.getLogger("runstream")


class RunMirror:
    """The files of one run, and where they are copied to. Log files are appended to as they grow."""

    def __init__(self, run: Any, folder: Path) -> None:
        self._run = run
        self._below = Below(folder)
        self._sizes: dict[str, int] = {}
        """How much of each log file is here."""
        self._stored: dict[str, str] = {}
        """The digest of each other file that is here."""
        self._told: set[str] = set()
        self._given_up: set[tuple[str, str]] = set()
        """Paths, with the digest that an uploaded file had: another one may take its place."""
        self.is_finished = False
        """Whether, when it was looked last, there were files, all of them here, and nobody wrote any more."""

    async def look(self) -> bool:
        """Copies what is new; whether anything was.

        A file that cannot be copied is told once, and left out.

        Raises:
            ServiceException: The services are away; or the run is not there any more, `status_code` is 404.
        """
        artifacts = await self._run._list_artifacts(PREFIX)
        paths = {artifact.path for artifact in artifacts}
        logs = [log for log in await self._run._list_logs() if log.path.startswith(PREFIX) and log.path not in paths]
        changes = [await self._take(artifact) for artifact in artifacts] + [await self._take(log) for log in logs]
        self.is_finished = bool(changes) and not any(changes) and all(log.finished for log in logs)
        return any(changes)

    async def _take(self, file: artifacts_api.Artifact | logs_api.LogFile) -> bool:
        """Copies what is new of a file; whether anything was."""
        path, what = file.path, file.digest if isinstance(file, artifacts_api.Artifact) else ""
        if (path, what) in self._given_up:
            return False
        try:
            target = self._below.place(path.removeprefix(PREFIX))
            if isinstance(file, logs_api.LogFile):
                return await self._take_log(file, target)
            return await self._take_artifact(file, target)
        except OSError as error:
            self._tell(path, error)
        except AzureMLException as error:
            if isinstance(error, ServiceException) and error.status_code in RESUMABLE:
                raise
            self._tell(path, error.message)
            self._given_up.add((path, what))
        return False

    async def _take_artifact(self, artifact: artifacts_api.Artifact, target: Path) -> bool:
        if self._stored.get(artifact.path) == artifact.digest:
            return False
        if await in_thread(_digest, target) != artifact.digest:
            await self._run._download_listed([(artifact, target)], 1)
        self._stored[artifact.path] = artifact.digest
        return True

    async def _take_log(self, log: logs_api.LogFile, target: Path) -> bool:
        if log.path not in self._sizes:
            self._sizes[log.path] = await self._size_here(log, target)
        start = self._sizes[log.path]
        if log.size_bytes > start:
            await self._append(log, target)
        return self._sizes[log.path] > start

    async def _size_here(self, log: logs_api.LogFile, target: Path) -> int:
        """How much of a log file is here from an earlier time. What is not its beginning is emptied.

        It may be more than was listed: another process copies it too, and was told of it later.
        """
        size = _size_of(target)
        start = max(size - COMPARED_BYTES, 0)
        if size and await self._read(log.path, start, size) != _bytes_of(target, start, size):
            os.truncate(target, 0)
            return 0
        return size

    async def _read(self, path: str, start: int, end: int) -> bytes:
        request = logs_api.ReadLogRequest(run=self._run._record.name, path=path, start_offset=start, end_offset=end)
        return b"".join([piece.data async for piece in read_log(self._run._connection, request)])

    async def _append(self, log: logs_api.LogFile, target: Path) -> None:
        """Writes what is not here yet, in its place: another process may do the same to the same file."""
        request = logs_api.ReadLogRequest(
            run=self._run._record.name, path=log.path, start_offset=self._sizes[log.path], end_offset=log.size_bytes
        )
        target.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o666)
        try:
            request.start_offset = min(request.start_offset, os.fstat(file).st_size)
            async with aclosing(read_log(self._run._connection, request)) as pieces:
                async for piece in pieces:
                    _write(file, piece.data, piece.offset)
                    self._sizes[log.path] = piece.offset + len(piece.data)
        finally:
            os.close(file)

    def _tell(self, path: str, problem: object) -> None:
        if path not in self._told:
            self._told.add(path)
            _logger.warning("The file %s of run %s cannot be copied: %s", path, self._run.id, problem)


def _write(file: int, data: bytes, offset: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(file, rest, offset)
        rest, offset = rest[written:], offset + written


def _size_of(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _bytes_of(path: Path, start: int, end: int) -> bytes:
    with path.open("rb") as file:
        file.seek(start)
        return file.read(end - start)


def _digest(path: Path) -> str:
    """SHA-256 of a file; empty: there is none."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except FileNotFoundError:
        return ""
