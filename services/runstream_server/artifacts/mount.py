"""Puts the artifact service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runstream.api.artifacts.v1.artifact_service_pb2_grpc import add_ArtifactServiceServicer_to_server
from runstream_server.artifacts.batches import Batches
from runstream_server.artifacts.blobs import Blobs
from runstream_server.artifacts.collecting import collect_forever, make_collector
from runstream_server.artifacts.content_store import ContentStore
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.relay import Relay
from runstream_server.artifacts.rules import Artifacts
from runstream_server.artifacts.servicer import ArtifactServicer
from runstream_server.artifacts.small_blobs import SmallBlobs
from runstream_server.artifacts.snapshot_model import SnapshotLimits
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.artifacts.snapshots import Snapshots
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.upload_store import UploadStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.artifacts.using import Using
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory

_READ_REQUESTS = 4
"""By so many requests at a time a large upload is read back from a store that is not on this machine."""


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves ArtifactService on `server` while the context is open."""
    config, postgres, bucket, now = platform.config.artifacts, platform.postgres, platform.bucket, platform.now
    history = RunHistory(platform.channel, platform.stream_channel)
    content_store = ContentStore(postgres)
    contents = Contents(content_store, bucket, now)
    using = Using(content_store, config.grace, now)
    collector = make_collector(postgres, bucket, config.grace, now)
    requests = 1 if platform.config.bucket.is_near else _READ_REQUESTS
    uploads = Uploads(UploadStore(postgres), bucket, collector.garbage, now, read_requests=requests)
    blobs = Blobs(using, SmallBlobs(content_store, bucket, now), uploads, Relay(uploads, bucket), history)
    store = ArtifactStore(postgres)
    artifacts = Artifacts(store, content_store, contents, bucket, history, now)
    batches = Batches(store, content_store, contents)
    limits = SnapshotLimits(config.snapshot_max_files, config.snapshot_max_bytes)
    snapshots = Snapshots(SnapshotStore(postgres), using, contents, history, limits, now)
    servicer = ArtifactServicer(artifacts, batches, blobs, snapshots)
    add_ArtifactServiceServicer_to_server(servicer, server)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        collecting = tasks.create_task(collect_forever(collector, config), name="artifacts-collect")
        try:
            yield
        finally:
            collecting.cancel()
            await uploads.close()
