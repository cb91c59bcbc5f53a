"""Uploads files into a run."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from typing import Final, TypeVar

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each, persist
from runstream._transfer.contents import Content, Source, changed, look_at, name_of
from runstream._transfer.http import HttpClient, TransferFailed
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    ArtifactBinding,
    BeginUploadRequest,
    BindArtifactsRequest,
    CompleteUploadRequest,
    FindMissingBlobsRequest,
)
from runstream.exceptions import ServiceException, UserErrorException

T = TypeVar("T")

MAX_DIGESTS: Final = 10_000
MAX_BINDINGS: Final = 1_000
"""As the contract says."""
VERIFY_SECONDS: Final = 60.0
MAX_VERIFY_CALLS: Final = 20
"""A large file is verified for longer than one call takes; another call waits on."""
OTHER_BYTES_CODES: Final = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"})
"""How buckets say that other bytes came than were announced."""


async def upload(connection: Connection, run: str, files: Sequence[tuple[str, Source]]) -> None:
    """Makes local files or bytes artifacts of a run, each under its path.

    Bytes that the workspace has already are not sent. Up to 1,000 files become visible all at once or not at all.
    Uploading the same again changes nothing.

    Raises:
        UserErrorException: A file cannot be read, changed meanwhile, or has a path that cannot be; or the run has
            another artifact of this name: reason `ARTIFACT_EXISTS`.
        ServiceException: The services or the bucket failed; no such run.
    """
    digests = await store(connection, run, [source for _, source in files])
    await bind(connection, run, [(path, digest) for (path, _), digest in zip(files, digests, strict=True)])


async def store(connection: Connection, run: str, sources: Sequence[Source]) -> list[str]:
    """Brings files or bytes into the workspace of a run, where it does not have them; the digest of each.

    Raises:
        UserErrorException: A file cannot be read, or changed meanwhile.
        ServiceException: The services or the bucket failed; no such workspace.
    """
    with closing(HttpClient()) as http:
        contents = await each(lambda source: in_thread(look_at, source), sources)
        await _Uploader(connection, run.partition("/runs/")[0], http).store(contents)
    return [content.digest for content in contents]


async def bind(connection: Connection, run: str, files: Sequence[tuple[str, str]]) -> None:
    """Makes stored contents artifacts of a run, by path and digest; up to 1,000 of them all at once or not at all.

    Raises:
        UserErrorException: A path cannot be; or the run has another artifact of this name: reason `ARTIFACT_EXISTS`.
        ServiceException: The services failed; no such run.
    """
    bindings = [ArtifactBinding(path=path, digest=digest) for path, digest in files]
    for some in _parts(bindings, MAX_BINDINGS):
        await connection.call(connection.artifacts.BindArtifacts, BindArtifactsRequest(run=run, bindings=some))


class _Uploader:
    """Brings contents into a workspace."""

    def __init__(self, connection: Connection, workspace: str, http: HttpClient) -> None:
        self._connection = connection
        self._artifacts = connection.artifacts
        self._workspace = workspace
        self._http = http

    async def store(self, contents: Iterable[Content]) -> None:
        """Sends those that the workspace does not have."""
        distinct = {content.digest: content for content in contents}
        missing = [digest for some in _parts(list(distinct), MAX_DIGESTS) for digest in await self._missing(some)]
        await each(self._send, [distinct[digest] for digest in missing])

    async def _missing(self, digests: Sequence[str]) -> list[str]:
        request = FindMissingBlobsRequest(parent=self._workspace, digests=digests)
        response = await self._connection.call(self._artifacts.FindMissingBlobs, request)
        return list(response.missing_digests)

    async def _send(self, content: Content) -> None:
        upload_id = await persist(lambda: self._put(content))
        if upload_id:
            await self._complete(content, upload_id)

    async def _put(self, content: Content) -> str:
        """Sends the bytes; empty: it turned out that they are there already."""
        request = BeginUploadRequest(parent=self._workspace, digest=content.digest, size_bytes=content.size)
        begun = await self._connection.call(self._artifacts.BeginUpload, request)
        if not begun.exists:
            await in_thread(_put, self._http, begun.url, dict(begun.headers), content)
        return begun.upload_id

    async def _complete(self, content: Content, upload_id: str) -> None:
        request = CompleteUploadRequest(parent=self._workspace, upload_id=upload_id)
        for left in reversed(range(MAX_VERIFY_CALLS)):
            try:
                await self._connection.call(self._artifacts.CompleteUpload, request, timeout=VERIFY_SECONDS)
            except ServiceException as error:
                if error.status_code != 503 or not left:
                    raise
            except UserErrorException as error:
                if error.reason == "DIGEST_MISMATCH":
                    raise changed(name_of(content)) from error
                raise
            else:
                return


def _put(http: HttpClient, url: str, headers: dict[str, str], content: Content) -> None:
    try:
        with content.open() as body:
            http.put(url, headers, content.size, body)
    except TransferFailed as failed:
        if failed.code in OTHER_BYTES_CODES:
            raise changed(name_of(content)) from failed
        raise


def _parts(items: Sequence[T], count: int) -> Iterator[Sequence[T]]:
    return (items[start : start + count] for start in range(0, len(items), count))
