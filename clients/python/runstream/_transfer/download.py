"""Downloads a file of a run."""

import hashlib
import os
import uuid
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import IO

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import persist
from runstream._transfer.http import HttpClient, TransferFailed
from runstream.api.artifacts.v1.artifact_service_pb2 import ArtifactDownload, GetDownloadUrlsRequest


async def download(connection: Connection, run: str, artifact_path: str, target: str | os.PathLike[str]) -> None:
    """Writes an artifact of a run to a local file, which is replaced if it exists; missing folders are made.

    The file appears when all of it is there and its SHA-256 is right, and not before.

    Raises:
        ServiceException: The run has no such artifact (status 404), or the services or the bucket failed.
        OSError: The file cannot be written.
    """
    path = Path(target)
    await in_thread(path.parent.mkdir, parents=True, exist_ok=True)
    with _replacing(path) as file, closing(HttpClient()) as http:
        partial = _Partial(file)

        async def attempt() -> None:
            wanted = await _find(connection, run, artifact_path)
            await in_thread(partial.fetch, http, wanted)

        await persist(attempt)


async def _find(connection: Connection, run: str, path: str) -> ArtifactDownload:
    request = GetDownloadUrlsRequest(run=run, paths=[path])
    response = await connection.call(connection.artifacts.GetDownloadUrls, request)
    return response.downloads[0]


class _Partial:
    """What has arrived so far."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._digest = hashlib.sha256()

    def fetch(self, http: HttpClient, wanted: ArtifactDownload) -> None:
        """Fetches what is missing.

        Raises:
            TransferFailed: It broke off; or what arrived is not what was stored, then the next attempt begins anew.
        """
        if self._file.tell() < wanted.artifact.size_bytes:
            with closing(http.get(wanted.url, self._file.tell())) as blocks:
                for start, block in blocks:
                    self._take(start, block)
        if self._digest.hexdigest() != wanted.artifact.digest:
            self._restart()
            raise TransferFailed(f"the bytes of {wanted.artifact.path!r} are not those stored", transient=True)

    def _take(self, start: int, block: bytes) -> None:
        if start != self._file.tell():
            self._restart()
        self._file.write(block)
        self._digest.update(block)

    def _restart(self) -> None:
        self._file.seek(0)
        self._file.truncate()
        self._digest = hashlib.sha256()


@contextmanager
def _replacing(target: Path) -> Iterator[IO[bytes]]:
    """A file to write to, which becomes `target` when it is complete and vanishes when it is not."""
    partial = target.with_name(f".{uuid.uuid4().hex}.partial")
    try:
        with partial.open("xb") as file:
            yield file
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
