"""What a client does with blobs, files of runs and snapshots, call by call."""

import asyncio
import hashlib
import urllib.request
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence

import grpc

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from tests import stubs
from tests.make_runs import WORKSPACE

TIMEOUT = 30
PART_BYTES = 8 << 20


def sha256(data: bytes) -> str:
    """The name of a blob."""
    return hashlib.sha256(data).hexdigest()


def _request(method: str, url: str, headers: Mapping[str, str], data: bytes | None) -> bytes:
    request = urllib.request.Request(url, data, dict(headers), method=method)
    with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
        return bytes(response.read())


async def fetch(url: str, headers: Mapping[str, str] | None = None) -> bytes:
    """Gets the bytes of a URL."""
    return await asyncio.to_thread(_request, "GET", url, headers or {}, None)


async def put(url: str, headers: Mapping[str, str], data: bytes) -> None:
    """Puts bytes to a URL."""
    await asyncio.to_thread(_request, "PUT", url, headers, data)


class Calls:
    """Calls to ArtifactService on behalf of one workspace."""

    def __init__(self, channel: grpc.aio.Channel, workspace: str = WORKSPACE) -> None:
        self.stub = stubs.artifacts(channel)
        self.workspace = workspace

    async def missing(self, digests: Sequence[str]) -> list[str]:
        """Those of the digests that the workspace does not have."""
        request = messages.FindMissingBlobsRequest(parent=self.workspace, digests=digests)
        return list((await self.stub.FindMissingBlobs(request)).missing_digests)

    async def begin(
        self, data: bytes, *, multipart: bool = False, digest: str | None = None, size: int | None = None
    ) -> messages.BeginUploadResponse:
        """Begins the upload of bytes."""
        return await self.stub.BeginUpload(
            messages.BeginUploadRequest(
                parent=self.workspace,
                digest=sha256(data) if digest is None else digest,
                size_bytes=len(data) if size is None else size,
                multipart=multipart,
            )
        )

    async def urls(self, upload_id: str, numbers: Sequence[int]) -> Sequence[messages.PartUpload]:
        """Where to put parts."""
        request = messages.GetUploadUrlsRequest(parent=self.workspace, upload_id=upload_id, part_numbers=numbers)
        return (await self.stub.GetUploadUrls(request)).parts

    async def put_parts(self, upload_id: str, data: bytes, numbers: Sequence[int]) -> None:
        """Puts parts of bytes, all at the same time."""
        parts = await self.urls(upload_id, numbers)
        await asyncio.gather(
            *(
                put(each.url, each.headers, data[each.offset_bytes : each.offset_bytes + each.size_bytes])
                for each in parts
            )
        )

    async def query(self, upload_id: str) -> messages.QueryUploadResponse:
        """How far an upload is."""
        request = messages.QueryUploadRequest(parent=self.workspace, upload_id=upload_id)
        return await self.stub.QueryUpload(request)

    async def complete(self, upload_id: str, digest: str = "") -> None:
        """Completes an upload."""
        request = messages.CompleteUploadRequest(parent=self.workspace, upload_id=upload_id, digest=digest)
        await self.stub.CompleteUpload(request)

    async def abort(self, upload_id: str) -> None:
        """Aborts an upload."""
        await self.stub.AbortUpload(messages.AbortUploadRequest(parent=self.workspace, upload_id=upload_id))

    async def relay(self, upload_id: str, pieces: Iterable[bytes], offset: int = 0) -> int:
        """Sends bytes through the service; up to where they are stored."""
        start = messages.UploadBlobStart(parent=self.workspace, upload_id=upload_id, offset_bytes=offset)

        async def requests() -> AsyncIterator[messages.UploadBlobRequest]:
            yield messages.UploadBlobRequest(start=start)
            for piece in pieces:
                yield messages.UploadBlobRequest(data=piece)

        return (await self.stub.UploadBlob(requests())).committed_size_bytes

    async def upload(self, data: bytes) -> str:
        """Uploads bytes in one PUT, unless they are known."""
        begun = await self.begin(data)
        if not begun.exists:
            await put(begun.url, begun.headers, data)
            await self.complete(begun.upload_id)
        return sha256(data)

    async def upload_parts(self, data: bytes) -> str:
        """Uploads bytes part by part, unless they are known."""
        begun = await self.begin(data, multipart=True)
        if not begun.exists:
            await self.put_parts(begun.upload_id, data, range(1, begun.part_count + 1))
            await self.complete(begun.upload_id)
        return sha256(data)

    async def store(self, *blobs: bytes) -> list[str]:
        """Stores small blobs in one message."""
        small = [messages.SmallBlob(data=data, digest=sha256(data)) for data in blobs]
        request = messages.BatchUploadBlobsRequest(parent=self.workspace, blobs=small)
        return list((await self.stub.BatchUploadBlobs(request)).digests)

    async def bind(self, run: str, bindings: Mapping[str, str]) -> Sequence[messages.Artifact]:
        """Binds paths to blobs."""
        pairs = [messages.ArtifactBinding(path=path, digest=digest) for path, digest in bindings.items()]
        return (await self.stub.BindArtifacts(messages.BindArtifactsRequest(run=run, bindings=pairs))).artifacts

    async def listed(self, run: str, prefix: str = "", *, page_size: int = 0, delimiter: str = "") -> list[str]:
        """The paths of a listing, folders among them, page after page."""
        paths: list[str] = []
        token = ""
        while True:
            page = await self.stub.ListArtifacts(
                messages.ListArtifactsRequest(
                    parent=run, prefix=prefix, page_size=page_size, page_token=token, delimiter=delimiter
                )
            )
            paths.extend(sorted([*page.folders, *(artifact.path for artifact in page.artifacts)]))
            token = page.next_page_token
            if not token:
                return paths

    async def download(self, run: str, path: str) -> bytes:
        """The bytes of an artifact, by its URL."""
        request = messages.GetDownloadUrlsRequest(run=run, paths=[path])
        (found,) = (await self.stub.GetDownloadUrls(request)).downloads
        return await fetch(found.url, found.headers)

    async def read(self, run: str, path: str, offset: int = 0, limit: int = 0) -> bytes:
        """The bytes of an artifact, through the service."""
        request = messages.ReadArtifactRequest(run=run, path=path, offset_bytes=offset, limit_bytes=limit)
        return b"".join([response.data async for response in self.stub.ReadArtifact(request)])

    async def delete(self, run: str, paths: Sequence[str] = (), prefix: str = "") -> int:
        """Deletes artifacts; how many there were."""
        request = messages.DeleteArtifactsRequest(run=run, paths=paths, prefix=prefix)
        return (await self.stub.DeleteArtifacts(request)).deleted_count

    async def snapshot(self, entries: Sequence[messages.SnapshotEntry]) -> messages.CreateSnapshotResponse:
        """Makes a snapshot, or says what is missing."""
        return await self.stub.CreateSnapshot(messages.CreateSnapshotRequest(parent=self.workspace, entries=entries))

    async def archive(self, name: str) -> bytes:
        """The zip archive of a snapshot."""
        request = messages.ReadSnapshotRequest(name=name)
        return b"".join([response.data async for response in self.stub.ReadSnapshot(request)])


def file_entry(path: str, data: bytes, *, executable: bool = False) -> messages.SnapshotEntry:
    """A file of a snapshot."""
    return messages.SnapshotEntry(path=path, digest=sha256(data), size_bytes=len(data), executable=executable)
