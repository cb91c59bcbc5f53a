"""Sends a large content in parts, several at a time; what has arrived is not sent again, also by another process."""

import asyncio
from collections.abc import Awaitable, Sequence
from itertools import islice
from typing import Final

from runstream._channel import Connection
from runstream._channel.backoff import backoff_seconds
from runstream._channel.threads import in_thread
from runstream._transfer.attempts import each, persist
from runstream._transfer.contents import Content, changed, name_of
from runstream._transfer.http import HttpClient, TransferFailed, Unreachable, host_of
from runstream._transfer.progress import Meter, Moved
from runstream._transfer.remembered import RememberedUpload
from runstream._transfer.routes import is_cut_off, note_cut_off, route
from runstream._transfer.settings import Settings
from runstream._transfer.through import upload_through
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    AbortUploadRequest,
    BeginUploadRequest,
    CompleteUploadRequest,
    GetUploadUrlsRequest,
    PartUpload,
    QueryUploadRequest,
    QueryUploadResponse,
    UploadBlobStart,
)
from runstream.exceptions import AzureMLException, ServiceException, UserErrorException

URLS_AT_ONCE: Final = 16
"""URLs that are asked for together: few enough to be used before they expire, and not to be waited for."""
VERIFY_SECONDS: Final = 60.0
MAX_VERIFY_CALLS: Final = 20
"""A large file is verified for longer than one call takes; another call waits on."""
ROUNDS: Final = 5
"""How often parts may turn out to be missing in the end."""
SLOW_ATTEMPTS: Final = 2
"""How often a part is sent again that was too slow: each time takes two minutes."""
TRANSIENT: Final = frozenset({429, 503})
OTHER_BYTES_CODES: Final = frozenset({"BadDigest", "InvalidDigest", "XAmzContentChecksumMismatch"})
"""How buckets say that other bytes came than were announced."""


class LargeUpload:
    """One content on its way into a workspace."""

    def __init__(
        self,
        connection: Connection,
        workspace: str,
        content: Content,
        http: HttpClient,
        room: asyncio.Semaphore,
        digest: Awaitable[str] | None = None,
    ) -> None:
        """`room` bounds the requests to the bucket that are under way at the same time.

        `digest` is that of a content whose own is not known yet: it has in its place what tells it from others.
        """
        self._connection = connection
        self._artifacts = connection.artifacts
        self._workspace = workspace
        self._content = content
        self._http = http
        self._room = room
        self._digest = digest
        self._remembered = RememberedUpload(connection.address, workspace, content.digest)
        self._upload = ""

    async def run(self, settings: Settings, meter: Meter) -> None:
        """Returns when the workspace has the content.

        Raises:
            UserErrorException: The file was changed meanwhile, or cannot be read any more.
            ServiceException: The services or the bucket failed.
        """
        with self._remembered.claimed():
            left = await self._resume() or await self._begin()
            if left is None:
                meter.advance(self._content.size)
                return
            meter.advance(self._content.size - _size_of_missing(left))
            await self._finish(left, settings, meter)

    async def abort(self) -> None:
        """Gives the upload up, and removes what has arrived."""
        if self._upload:
            request = AbortUploadRequest(parent=self._workspace, upload_id=self._upload)
            await self._connection.call(self._artifacts.AbortUpload, request)

    async def _finish(self, left: QueryUploadResponse, settings: Settings, meter: Meter) -> None:
        for _ in range(ROUNDS):
            await self._send(left, settings, meter)
            if await self._complete():
                return
            left = await self._query()
        raise ServiceException("Parts of the upload keep getting lost.", reason="UPLOAD_INCOMPLETE")

    async def _resume(self) -> QueryUploadResponse | None:
        """How far an upload is that was begun earlier; None: there is none."""
        self._upload = self._remembered.find()
        if not self._upload:
            return None
        try:
            return await self._query()
        except ServiceException as error:
            if error.reason != "UPLOAD_NOT_FOUND":
                raise
            self._remembered.forget()
            return None

    async def _begin(self) -> QueryUploadResponse | None:
        """Begins an upload; None: the workspace has the content already."""
        size, digest = self._content.size, "" if self._digest else self._content.digest
        request = BeginUploadRequest(parent=self._workspace, digest=digest, size_bytes=size, multipart=True)
        begun = await self._connection.call(self._artifacts.BeginUpload, request)
        if begun.exists:
            return None
        self._upload = begun.upload_id
        self._remembered.note(self._upload)
        return QueryUploadResponse(
            size_bytes=size,
            part_size_bytes=begun.part_size_bytes,
            part_count=begun.part_count,
            missing_part_numbers=range(1, begun.part_count + 1),
        )

    async def _query(self) -> QueryUploadResponse:
        request = QueryUploadRequest(parent=self._workspace, upload_id=self._upload)
        return await self._connection.call(self._artifacts.QueryUpload, request)

    async def _send(self, left: QueryUploadResponse, settings: Settings, meter: Meter) -> None:
        """Sends what is missing, to the bucket or where that cannot be reached through the services."""
        if left.completed or not left.missing_part_numbers:
            return
        if settings.use_bucket:
            try:
                await self._send_to_bucket(left.missing_part_numbers, settings, meter)
            except Unreachable as unreachable:
                note_cut_off(unreachable.host)
                left = await self._query()
            else:
                return
        await self._send_through(left, settings, meter)

    async def _send_to_bucket(self, numbers: Sequence[int], settings: Settings, meter: Meter) -> None:
        urls = _Urls(self._connection, self._workspace, self._upload, numbers)

        async def send(number: int) -> None:
            async with self._room:
                await persist(lambda: self._put(urls, number, meter), settings.attempts)

        await each(send, numbers, settings.at_once)

    async def _put(self, urls: "_Urls", number: int, meter: Meter) -> None:
        part = await urls.take(number)
        if is_cut_off(host_of(part.url)):
            raise Unreachable("the bucket cannot be reached", host_of(part.url))
        await in_thread(_put, self._http, part, self._content)
        meter.advance(part.size_bytes)

    async def _send_through(self, left: QueryUploadResponse, settings: Settings, meter: Meter) -> None:
        """Sends everything behind the bytes that have arrived without a gap."""
        failures, counted = 0, left.size_bytes - _size_of_missing(left)
        while left.committed_size_bytes < left.size_bytes and not left.completed:
            start = UploadBlobStart(
                parent=self._workspace, upload_id=self._upload, offset_bytes=left.committed_size_bytes
            )
            before, moved = left.committed_size_bytes, Moved(meter)
            meter.advance(before - counted)  # what arrived behind a gap goes again, and what was lost
            try:
                await upload_through(self._connection, start, self._content, moved)
            except (ServiceException, UserErrorException) as error:
                if not _may_go_on(error) or failures == _attempts(error, settings):
                    raise
                await asyncio.sleep(backoff_seconds(failures))
            left, counted = await self._query(), before + moved.size
            failures = 0 if left.committed_size_bytes > before else failures + 1

    async def _complete(self) -> bool:
        """Has the services verify what arrived; false: parts are missing.

        Raises:
            UserErrorException: Other bytes arrived than the file had.
        """
        digest = await self._digest if self._digest else self._content.digest
        request = CompleteUploadRequest(parent=self._workspace, upload_id=self._upload, digest=digest)
        try:
            await self._verify(request)
        except UserErrorException as error:
            if error.reason == "UPLOAD_INCOMPLETE":
                return False
            self._remembered.forget()
            raise changed(name_of(self._content)) if error.reason == "DIGEST_MISMATCH" else error from error
        self._remembered.forget()
        return True

    async def _verify(self, request: CompleteUploadRequest) -> None:
        for left in reversed(range(MAX_VERIFY_CALLS)):
            try:
                await self._connection.call(self._artifacts.CompleteUpload, request, timeout=VERIFY_SECONDS)
            except ServiceException as error:
                if error.status_code != 503 or not left:
                    raise
            else:
                return


class _Urls:
    """URLs of parts, fetched some at a time; one that was taken is not given again, for it may be what failed."""

    def __init__(self, connection: Connection, workspace: str, upload: str, numbers: Sequence[int]) -> None:
        self._connection = connection
        self._workspace = workspace
        self._upload = upload
        self._waiting = iter(numbers)
        self._parts: dict[int, PartUpload] = {}
        self._fetching = asyncio.Lock()

    async def take(self, number: int) -> PartUpload:
        """Where to send a part."""
        async with self._fetching:
            if number not in self._parts:
                await self._fetch(number)
            return self._parts.pop(number)

    async def _fetch(self, number: int) -> None:
        """Fetches the URL of a part, and of those whose turn is next."""
        numbers = [number, *(each for each in islice(self._waiting, URLS_AT_ONCE) if each != number)]
        request = GetUploadUrlsRequest(parent=self._workspace, upload_id=self._upload, part_numbers=numbers)
        response = await self._connection.call(self._connection.artifacts.GetUploadUrls, request)
        self._parts.update((part.part_number, part) for part in response.parts)


def _put(http: HttpClient, part: PartUpload, content: Content) -> None:
    try:
        with route(part.url), content.open(part.offset_bytes, part.size_bytes) as body:
            http.put(part.url, dict(part.headers), part.size_bytes, body)
    except TransferFailed as failed:
        if failed.code in OTHER_BYTES_CODES:
            raise changed(name_of(content)) from failed
        raise


def _may_go_on(error: AzureMLException) -> bool:
    """Whether it is worth asking how far an upload is: also where a stream that broke went on for a while."""
    is_away = isinstance(error, ServiceException) and error.status_code in TRANSIENT
    return is_away or error.reason == "OFFSET_MISMATCH"


def _attempts(error: AzureMLException, settings: Settings) -> int:
    """How often no part may arrive before what stopped the last one is told."""
    return min(SLOW_ATTEMPTS, settings.attempts) if error.reason == "PART_TOO_SLOW" else settings.attempts


def _size_of_missing(left: QueryUploadResponse) -> int:
    ends = (min(number * left.part_size_bytes, left.size_bytes) for number in left.missing_part_numbers)
    return sum(ends) - sum((number - 1) * left.part_size_bytes for number in left.missing_part_numbers)
