"""One bucket of an object store."""

import asyncio
import base64
import hashlib
import importlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager, suppress
from datetime import timedelta
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from runstream_server.config import BucketConfig
from runstream_server.errors import BucketUnavailable, ConfigurationError
from runstream_server.objectstore.errors import ObjectMissing
from runstream_server.objectstore.objects import ObjectInfo, PartInfo, Presigned, Unfinished
from runstream_server.objectstore.uploads import Upload

if TYPE_CHECKING:
    from runstream_server.objectstore.client import Clients

_CHUNK_BYTES = 1 << 20
_CALL_SECONDS = 25.0
_PUT_SECONDS = 120.0
_LONGEST_URL_LIFETIME = timedelta(hours=1)


class Bucket:
    """Puts, reads and removes objects, and lets clients do so. Every method may raise BucketUnavailable.

    It connects at first use, for that takes a second and 40 MB.
    """

    def __init__(self, config: BucketConfig) -> None:
        self._config = config
        self._name = config.bucket
        self._connecting = asyncio.Lock()
        self._stack = AsyncExitStack()
        self._clients: Clients | None = None

    async def check(self) -> None:
        """Connects, and makes the bucket if it is not there.

        Raises:
            ConfigurationError: The store does not answer, or refuses us.
        """
        try:
            await self._connected()
        except BucketUnavailable as error:
            problem = f"{self._config.endpoint} and bucket {self._name} cannot be used: {error.__cause__}"
            raise ConfigurationError("RUNSTREAM_S3_ENDPOINT", problem) from error

    async def put(self, key: str, data: bytes) -> None:
        """Stores an object. Doing so again changes nothing."""
        store = (await self._connected()).store
        sha256 = await asyncio.to_thread(hashlib.sha256, data)
        with _errors():
            async with asyncio.timeout(_PUT_SECONDS):
                await store.put_object(
                    Bucket=self._name, Key=key, Body=BytesIO(data), ChecksumSHA256=_base64(sha256.digest())
                )

    def upload(self, key: str) -> Upload:
        """Stores an object part by part."""
        return Upload(self, key)

    async def begin_parts(self, key: str) -> str:
        """Begins to store an object part by part; returns the id of that."""
        store = (await self._connected()).store
        with _errors():
            async with asyncio.timeout(_CALL_SECONDS):
                answer = await store.create_multipart_upload(Bucket=self._name, Key=key)
        return str(answer["UploadId"])

    async def put_part(self, key: str, upload: str, number: int, data: bytes) -> str:
        """Stores a part, whose numbers count from 1; returns its tag."""
        store = (await self._connected()).store
        with _errors():
            async with asyncio.timeout(_PUT_SECONDS):
                answer = await store.upload_part(
                    Bucket=self._name, Key=key, UploadId=upload, PartNumber=number, Body=BytesIO(data)
                )
        return str(answer["ETag"])

    async def list_parts(self, key: str, upload: str) -> Mapping[int, PartInfo]:
        """Returns the parts that were stored so far, by number.

        Raises:
            ObjectMissing: The parts were made an object, or given up.
        """
        store = (await self._connected()).store
        parts: dict[int, PartInfo] = {}
        position: dict[str, int] = {}
        while True:
            with _errors(key):
                async with asyncio.timeout(_CALL_SECONDS):
                    page = await store.list_parts(Bucket=self._name, Key=key, UploadId=upload, **position)
            for each in page.get("Parts", ()):
                parts[each["PartNumber"]] = PartInfo(each["ETag"], each["Size"])
            if not page.get("IsTruncated"):
                return parts
            position = {"PartNumberMarker": page["NextPartNumberMarker"]}

    async def complete_parts(self, key: str, upload: str, tags: Sequence[str]) -> None:
        """Makes an object of the parts with these tags, in order.

        Raises:
            ObjectMissing: The parts were made an object already, or given up.
        """
        store = (await self._connected()).store
        parts = [{"PartNumber": number, "ETag": tag} for number, tag in enumerate(tags, 1)]
        with _errors(key):
            async with asyncio.timeout(_PUT_SECONDS):
                await store.complete_multipart_upload(
                    Bucket=self._name, Key=key, UploadId=upload, MultipartUpload={"Parts": parts}
                )

    async def abort_parts(self, key: str, upload: str) -> None:
        """Removes parts that were not made an object. Doing so again changes nothing."""
        store = (await self._connected()).store
        with suppress(ObjectMissing), _errors(key):
            async with asyncio.timeout(_CALL_SECONDS):
                await store.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload)

    async def discard(self, key: str) -> None:
        """Removes an object and whatever parts of it were stored. Doing so again changes nothing."""
        store = (await self._connected()).store
        with _errors():
            async with asyncio.timeout(_CALL_SECONDS):
                answer = await store.list_multipart_uploads(Bucket=self._name, Prefix=key)
                for upload in answer.get("Uploads", ()):
                    if upload["Key"] == key:
                        await store.abort_multipart_upload(Bucket=self._name, Key=key, UploadId=upload["UploadId"])
        await self.delete(key)

    async def head(self, key: str) -> ObjectInfo | None:
        """What the store knows about an object; None if it is not there."""
        store = (await self._connected()).store
        try:
            with _errors(key):
                async with asyncio.timeout(_CALL_SECONDS):
                    answer = await store.head_object(Bucket=self._name, Key=key)
        except ObjectMissing:
            return None
        return ObjectInfo(key, answer["ContentLength"], answer["LastModified"])

    async def get(self, key: str, *, start: int = 0, end: int | None = None) -> bytes:
        """Reads a small object, or a small range of one; see `read`."""
        async with self.read(key, start=start, end=end) as chunks:
            return b"".join([chunk async for chunk in chunks])

    @asynccontextmanager
    async def read(self, key: str, *, start: int = 0, end: int | None = None) -> AsyncIterator[AsyncIterator[bytes]]:
        """Reads an object in chunks of at most 1 MiB, from byte `start` up to but without byte `end`.

        Raises:
            ObjectMissing: It is not there.
            StoredBytesDamaged: It ends before the range begins. Some stores say so too when it ends before `end`.
        """
        store = (await self._connected()).store
        part = {} if start == 0 and end is None else {"Range": f"bytes={start}-{'' if end is None else end - 1}"}
        with _errors(key):
            async with asyncio.timeout(_CALL_SECONDS):
                answer = await store.get_object(Bucket=self._name, Key=key, **part)
        async with answer["Body"] as body:
            yield _chunks(body)

    def file_of(self, key: str) -> Path | None:
        """The file in which the store keeps an object, where this process can read it; None: it has to be asked."""
        folder = self._config.folder
        return folder / key if folder else None

    async def delete(self, key: str) -> None:
        """Removes an object. Doing so again changes nothing."""
        store = (await self._connected()).store
        with _errors():
            async with asyncio.timeout(_CALL_SECONDS):
                await store.delete_object(Bucket=self._name, Key=key)

    async def list(self, prefix: str = "") -> AsyncIterator[ObjectInfo]:
        """Yields the objects whose keys start with `prefix`, page by page in the order of the store."""
        store = (await self._connected()).store
        position: dict[str, str] = {}
        while True:
            with _errors():
                async with asyncio.timeout(_CALL_SECONDS):
                    page = await store.list_objects_v2(Bucket=self._name, Prefix=prefix, **position)
            for each in page.get("Contents", ()):
                yield ObjectInfo(each["Key"], each["Size"], each["LastModified"])
            if not page.get("IsTruncated"):
                return
            position = {"ContinuationToken": page["NextContinuationToken"]}

    async def list_unfinished(self, prefix: str) -> AsyncIterator[Unfinished]:
        """Yields what was begun to be stored part by part below `prefix`, and not finished."""
        store = (await self._connected()).store
        position: dict[str, str] = {}
        while True:
            with _errors():
                async with asyncio.timeout(_CALL_SECONDS):
                    page = await store.list_multipart_uploads(Bucket=self._name, Prefix=prefix, **position)
            for each in page.get("Uploads", ()):
                if each["Key"].startswith(prefix):
                    yield Unfinished(each["Key"], each["UploadId"], each["Initiated"])
            if not page.get("IsTruncated"):
                return
            position = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def presign_part(self, key: str, upload: str, number: int, size_bytes: int, lifetime: timedelta) -> Presigned:
        """Lets whoever has the answer put one part of exactly this size, for at most an hour.

        Nobody can any more once the parts are an object, or given up.
        """
        url = await self._presign(
            "upload_part", lifetime, Key=key, UploadId=upload, PartNumber=number, ContentLength=size_bytes
        )
        return Presigned(url, {})

    async def presign_get(self, key: str, lifetime: timedelta, *, start: int = 0, end: int | None = None) -> Presigned:
        """Lets whoever has the answer read an object, or nothing but a range of its bytes, for at most an hour."""
        if end is None:
            return Presigned(await self._presign("get_object", lifetime, Key=key), {})
        part = f"bytes={start}-{end - 1}"
        return Presigned(await self._presign("get_object", lifetime, Key=key, Range=part), {"Range": part})

    async def _presign(self, method: str, lifetime: timedelta, **parameters: object) -> str:
        if not timedelta(0) < lifetime <= _LONGEST_URL_LIFETIME:
            raise ValueError(f"a URL lives for up to {_LONGEST_URL_LIFETIME}, not {lifetime}")
        signer = (await self._connected()).signer
        url: str = await signer.generate_presigned_url(
            method, Params={"Bucket": self._name, **parameters}, ExpiresIn=int(lifetime.total_seconds())
        )
        return url

    async def _connected(self) -> "Clients":
        if self._clients is None:
            async with self._connecting:
                self._clients = self._clients or await self._connect()
        return self._clients

    async def _connect(self) -> "Clients":
        module = await asyncio.to_thread(importlib.import_module, "runstream_server.objectstore.client")
        clients: Clients = await self._stack.enter_async_context(module.connect(self._config))
        return clients

    async def close(self) -> None:
        """Closes the connections."""
        await self._stack.aclose()


@asynccontextmanager
async def open_bucket(config: BucketConfig) -> AsyncIterator[Bucket]:
    """Opens a bucket; connects now if the settings say so.

    Raises:
        ConfigurationError: The store does not answer, or refuses us.
    """
    bucket = Bucket(config)
    try:
        if config.check_at_start:
            await bucket.check()
        yield bucket
    finally:
        await bucket.close()


async def _chunks(body: Any) -> AsyncIterator[bytes]:
    while True:
        with _errors():
            chunk: bytes = await body.read(_CHUNK_BYTES)
        if not chunk:
            return
        yield chunk


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()


@contextmanager
def _errors(key: str = "") -> Iterator[None]:
    from runstream_server.objectstore.client import bucket_errors  # loaded when the bucket was connected

    with bucket_errors(key):
        yield
