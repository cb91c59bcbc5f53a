"""Downloads small files, many in one message."""

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple, TypeAlias

from runstream._channel import Connection
from runstream._channel.threads import in_thread, to_its_end
from runstream._transfer.attempts import each, parts, persist, tried_again
from runstream._transfer.partial import damaged, write_whole
from runstream._transfer.progress import Meter
from runstream._transfer.settings import Settings
from runstream.api.artifacts.v1.artifact_service_pb2 import Artifact, BatchReadArtifactsRequest, SmallArtifact
from runstream.exceptions import ServiceException

MAX_BYTES: Final = 256 * 1024
"""Of a file that comes with others; larger ones are as quick from the bucket, which spares the services."""
CALL_FILES: Final = 500
CALLS_AT_ONCE: Final = 2
"""One waits for bytes while what came by the other is written."""
NOT_FOUND: Final = 404
LOST: Final = "DATA_LOSS"

Listed: TypeAlias = tuple[Artifact, Path]
"""An artifact as it was listed, and the file that it is to be."""


class Left(NamedTuple):
    """What did not come."""

    files: list[Listed]
    """What may come one by one."""

    lost: list[ServiceException]
    """Each says of a file that its bytes are damaged in the bucket."""


async def download_together(
    connection: Connection, run: str, files: Sequence[Listed], settings: Settings, meter: Meter
) -> Left:
    """Writes small artifacts to their files, whose folders are made; returns what did not come.

    Raises:
        ServiceException: There is no such artifact any more (status 404).
        OSError: A file cannot be written.
    """

    async def fetch(some: Sequence[Listed]) -> Left:
        return await _Together(connection, run, some, meter).run(settings.attempts)

    left = await each(fetch, parts(files, CALL_FILES), CALLS_AT_ONCE)
    return Left([file for some in left for file in some.files], [error for some in left for error in some.lost])


class _Together:
    """Files that come by one call."""

    def __init__(self, connection: Connection, run: str, files: Sequence[Listed], meter: Meter) -> None:
        self._connection = connection
        self._run = run
        self._missing = {artifact.path: (artifact, target) for artifact, target in files}
        self._folders: set[Path] = set()
        self._meter = meter

    async def run(self, attempts: int) -> Left:
        """Returns what did not come."""
        try:
            await persist(self._attempt, attempts)
        except ServiceException as error:
            if error.status_code == NOT_FOUND:
                raise
            if error.reason == LOST:  # which is said when all others have come
                return Left([], [error])
        return Left(list(self._missing.values()), [])

    async def _attempt(self) -> None:
        request = BatchReadArtifactsRequest(run=self._run, paths=list(self._missing))
        with tried_again():
            async for response in self._connection.stream(self._connection.artifacts.BatchReadArtifacts, request):
                await to_its_end(in_thread(self._write, response.artifacts))
        if self._missing:
            raise damaged(next(iter(self._missing.values()))[0])

    def _write(self, arrived: Iterable[SmallArtifact]) -> None:
        """Writes what is as it should be."""
        for small in arrived:
            path, digest = small.artifact.path, hashlib.sha256(small.data).hexdigest()
            if digest == small.artifact.digest and path in self._missing:
                artifact, target = self._missing[path]
                self._make_folder(target.parent)
                write_whole(target, small.data)
                del self._missing[path]
                self._meter.advance(artifact.size_bytes)

    def _make_folder(self, folder: Path) -> None:
        if folder not in self._folders:
            folder.mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
