"""The rules of the artifact service without the service around them, and with a clock that a test sets."""

from datetime import UTC, datetime, timedelta

from runstream_server.artifacts.collecting import Collector, make_collector
from runstream_server.artifacts.collection_store import CollectionStore
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.model import Binding, Blob, Parts
from runstream_server.artifacts.small_blobs import SmallBlobs
from runstream_server.artifacts.snapshot_model import Snapshot, SnapshotEntry, snapshot_id
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.artifacts.using import Using
from runstream_server.names import RunName, SnapshotName, WorkspaceName
from runstream_server.objectstore import Bucket
from runstream_server.postgres import Postgres
from tests.artifact_calls import sha256

GRACE = timedelta(days=1)
SPACE = "space"
RUN = RunName(SPACE, "run")


class Service:
    """What the rules of the service stand on, with a clock that a test sets."""

    def __init__(self, postgres: Postgres, bucket: Bucket) -> None:
        self.now = datetime.now(UTC)
        self.postgres = postgres
        self.bucket = bucket
        self.collector: Collector = make_collector(postgres, bucket, GRACE, self.clock)
        self.steps = CollectionStore(postgres)
        self.content_store = ContentStore(postgres)
        self.contents = Contents(self.content_store, bucket, self.clock)
        self.using = Using(self.content_store, GRACE, self.clock)
        self.small = SmallBlobs(self.content_store, bucket, self.clock)
        self.uploads = Uploads(UploadStore(postgres), bucket, self.collector.garbage, self.clock)
        self.bindings = ArtifactStore(postgres)
        self.snapshots = SnapshotStore(postgres)

    def clock(self) -> datetime:
        return self.now

    async def store(self, *blobs: bytes, workspace: str = SPACE) -> None:
        await self.small.store(WorkspaceName(workspace), blobs, await self.small.digest(blobs))

    async def bind(self, path: str, data: bytes, workspace: str = SPACE) -> None:
        await self.bindings.bind(RunName(workspace, "run"), [Binding(path, sha256(data))], self.now)

    async def upload(self, data: bytes, workspace: str = SPACE) -> None:
        name, parts = WorkspaceName(workspace), Parts.cut(len(data), multipart=True)
        upload = (await self.uploads.begin(name, sha256(data), parts)).upload
        await self.bucket.put_part(upload.object, upload.parts_id, 1, data)
        await self.uploads.complete(name, upload.upload_id, None)

    async def snapshot(self, data: bytes) -> bool:
        entries = [SnapshotEntry("a", Blob(sha256(data), len(data)), executable=False)]
        name = SnapshotName(SPACE, snapshot_id(entries))
        return await self.snapshots.add(Snapshot(name, 1, len(data), self.now), entries)

    async def read(self, data: bytes, workspace: str = SPACE) -> bytes:
        content = (await self.content_store.locate(workspace, [sha256(data)], checksums=True))[sha256(data)]
        return b"".join([piece async for piece in self.contents.read(content, 0, len(data))])

    async def has(self, data: bytes) -> bool:
        return sha256(data) in await self.content_store.locate(SPACE, [sha256(data)])

    async def keys(self) -> list[str]:
        return [each.key async for each in self.bucket.list()]

    async def close(self) -> None:
        await self.uploads.close()
