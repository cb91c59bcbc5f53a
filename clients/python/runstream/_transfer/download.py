"""Downloads files of a run."""

import asyncio
import os
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each, parts, persist, persist_any_way, tried_again
from runstream._transfer.http import HttpClient, TransferFailed, host_of
from runstream._transfer.in_ranges import InRanges, Take
from runstream._transfer.partial import Ranges, Sequential, replacing
from runstream._transfer.progress import Meter, Told
from runstream._transfer.routes import is_cut_off, route
from runstream._transfer.settings import DEFAULT, Settings
from runstream._transfer.together import MAX_BYTES, Listed, download_together
from runstream._transfer.upload import SILENT
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    ArtifactDownload,
    GetDownloadUrlsRequest,
    ReadArtifactRequest,
)

BATCH = 100
URL_SECONDS = 600
"""How long a URL is used; it leads somewhere for an hour."""
DAMAGED_ATTEMPTS = 2
"""How often a large file is downloaded whose bytes turn out to be wrong in the end."""


async def download(
    connection: Connection,
    run: str,
    artifact_path: str,
    target: str | os.PathLike[str],
    settings: Settings = DEFAULT,
    meter: Meter = SILENT,
) -> None:
    """Writes an artifact of a run to a local file, which is replaced if it exists; missing folders are made.

    The file appears when all of it is there and its SHA-256 is right, and not before. Of a large file what has arrived
    is kept beside it when the download breaks, and the next one goes on from there.

    Raises:
        ServiceException: The run has no such artifact (status 404), or the services or the bucket failed.
        OSError: The file cannot be written.
    """
    await download_all(connection, run, [(artifact_path, Path(target))], settings, meter)


async def download_all(
    connection: Connection,
    run: str,
    files: Sequence[tuple[str, Path]],
    settings: Settings = DEFAULT,
    meter: Meter = SILENT,
    batch: int = BATCH,
) -> None:
    """Writes artifacts of a run to local files, several at a time; each as `download` does.

    Raises:
        ServiceException: As for `download`; files that are complete stay.
        OSError: As for `download`.
    """
    with closing(HttpClient()) as http:
        for some in parts(files, batch):
            found = await _find(connection, run, [path for path, _ in some])
            meter.expect(sum(each.artifact.size_bytes for each in found))
            works = [
                _Download(connection, http, run, wanted, target, settings, meter)
                for wanted, (_, target) in zip(found, some, strict=True)
            ]
            await each(_Download.run, works, settings.at_once)


async def download_listed(
    connection: Connection,
    run: str,
    files: Sequence[Listed],
    settings: Settings = DEFAULT,
    meter: Meter = SILENT,
    batch: int = BATCH,
) -> None:
    """As `download_all`, of artifacts of which is known how large they are: small ones come many in one message.

    Raises:
        ServiceException: As for `download`; files that are complete stay. Where the bytes of a small one are damaged in
            the bucket, all others are there.
        OSError: As for `download`.
    """
    meter.expect(sum(artifact.size_bytes for artifact, _ in files))
    small = [file for file in files if file[0].size_bytes <= MAX_BYTES]
    large = [file for file in files if file[0].size_bytes > MAX_BYTES]
    left = await download_together(connection, run, small, settings, meter)
    rest = [(artifact.path, target) for artifact, target in (*left.files, *large)]
    await download_all(connection, run, rest, settings, Told(meter), batch)
    for error in left.lost:
        raise error


async def _find(connection: Connection, run: str, paths: Sequence[str]) -> Sequence[ArtifactDownload]:
    request = GetDownloadUrlsRequest(run=run, paths=paths)
    return (await connection.call(connection.artifacts.GetDownloadUrls, request)).downloads


class _Download:
    """One artifact on its way to a file."""

    def __init__(
        self,
        connection: Connection,
        http: HttpClient,
        run: str,
        wanted: ArtifactDownload,
        target: Path,
        settings: Settings,
        meter: Meter,
    ) -> None:
        self._connection = connection
        self._http = http
        self._run = run
        self._artifact = wanted.artifact
        self._known: ArtifactDownload | None = wanted
        self._known_until = time.monotonic() + URL_SECONDS
        self._asking = asyncio.Lock()
        self._target = target
        self._settings = settings
        self._meter = meter

    async def run(self) -> None:
        """Returns when the file is there."""
        await in_thread(self._target.parent.mkdir, parents=True, exist_ok=True)
        if self._artifact.size_bytes <= 2 * self._settings.range_bytes:
            await self._fetch_whole()
        else:
            await persist(self._fetch_in_ranges, min(DAMAGED_ATTEMPTS, self._settings.attempts))

    async def _fetch_whole(self) -> None:
        with replacing(self._target) as file:
            sequential = Sequential(file, self._artifact, self._meter)
            size = self._artifact.size_bytes

            async def attempt() -> None:
                if not sequential.is_complete:
                    await self._bring(sequential.size, size, sequential.take)
                await in_thread(sequential.check)

            await persist_any_way(attempt, self._settings.attempts)

    async def _fetch_in_ranges(self) -> None:
        ranges = Ranges(self._target, self._artifact, self._settings.range_bytes)
        with ranges.open():
            await InRanges(ranges, self._bring, self._settings, self._meter).run()

    async def _bring(self, start: int, end: int, take: Take) -> None:
        """Hands out bytes from the bucket, or where that cannot be reached from the services.

        Raises:
            TransferFailed: They did not all come.
        """
        wanted = await self._wanted()
        if is_cut_off(host_of(wanted.url)) or not self._settings.use_bucket:
            await self._read_through(start, end, take)
            return
        try:
            await in_thread(_get, self._http, wanted, (start, end), take)
        except TransferFailed:
            if self._known is wanted:
                self._known = None  # its URL may be what failed
            raise

    async def _wanted(self) -> ArtifactDownload:
        """Where to read: for all ranges the same place, asked for anew after a failure and before the URL expires."""
        async with self._asking:
            if self._known is None or time.monotonic() > self._known_until:
                self._known_until = time.monotonic() + URL_SECONDS
                self._known = (await _find(self._connection, self._run, [self._artifact.path]))[0]
            return self._known

    async def _read_through(self, start: int, end: int, take: Take) -> None:
        request = ReadArtifactRequest(
            run=self._run, path=self._artifact.path, offset_bytes=start, limit_bytes=end - start
        )
        with tried_again():
            async for response in self._connection.stream(self._connection.artifacts.ReadArtifact, request):
                await in_thread(take, start, response.data)
                start += len(response.data)


def _get(http: HttpClient, wanted: ArtifactDownload, bounds: tuple[int, int], take: Take) -> None:
    start, end = bounds
    with route(wanted.url), closing(http.get(wanted.url, dict(wanted.headers), start, end)) as blocks:
        for at, block in blocks:
            take(at, block)
