"""Puts the artifact service together."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from runstream.api.artifacts.v1.artifact_service_pb2_grpc import add_ArtifactServiceServicer_to_server
from runstream_server.artifacts.rules import Artifacts
from runstream_server.artifacts.servicer import ArtifactServicer
from runstream_server.artifacts.store import ArtifactStore
from runstream_server.artifacts.uploads import Uploads
from runstream_server.platform import Platform
from runstream_server.rpc import RpcServer
from runstream_server.runhistory import RunHistory


@asynccontextmanager
async def mount(server: RpcServer, platform: Platform) -> AsyncIterator[None]:
    """Serves ArtifactService on `server` while the context is open."""
    store = ArtifactStore(platform.postgres)
    uploads = Uploads(store, platform.bucket, platform.now)
    history = RunHistory(platform.channel, platform.stream_channel)
    artifacts = Artifacts(store, uploads, platform.bucket, history, platform.now)
    add_ArtifactServiceServicer_to_server(ArtifactServicer(artifacts), server)  # type: ignore[arg-type]
    async with asyncio.TaskGroup() as tasks:
        sweeping = tasks.create_task(uploads.sweep_forever(), name="artifacts-sweep-uploads")
        try:
            yield
        finally:
            sweeping.cancel()
            await uploads.close()
