"""Methods about snapshots."""

import asyncio
from contextlib import aclosing
from typing import Any

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceServicer
from runstream_server.artifacts.convert.snapshots import (
    decode_entries,
    encode_created,
    encode_entry,
    encode_snapshot,
)
from runstream_server.artifacts.servicer.transfers import Transfers, send
from runstream_server.artifacts.snapshots import Snapshots
from runstream_server.names import SnapshotName, WorkspaceName
from runstream_server.paging import page_size, page_token, read_page_token


class SnapshotMethods(ArtifactServiceServicer):
    """Methods about snapshots."""

    _snapshots: Snapshots
    _transfers: Transfers

    async def CreateSnapshot(
        self, request: messages.CreateSnapshotRequest, _: object
    ) -> messages.CreateSnapshotResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        entries = await asyncio.to_thread(decode_entries, request.entries)  # thousands take a while
        return encode_created(await self._snapshots.create(workspace, entries))

    async def GetSnapshot(self, request: messages.GetSnapshotRequest, _: object) -> messages.GetSnapshotResponse:
        snapshot = await self._snapshots.get(SnapshotName.parse(request.name, "name"))
        return messages.GetSnapshotResponse(snapshot=encode_snapshot(snapshot))

    async def ListSnapshotEntries(
        self, request: messages.ListSnapshotEntriesRequest, _: object
    ) -> messages.ListSnapshotEntriesResponse:
        name = SnapshotName.parse(request.parent, "parent")
        size = page_size(request.page_size, 1_000, 10_000)
        listing = ("ListSnapshotEntries", str(name))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        entries = await self._snapshots.entries(name, after, size + 1)
        return messages.ListSnapshotEntriesResponse(
            entries=[encode_entry(each) for each in entries[:size]],
            next_page_token=page_token(listing, [entries[size - 1].path]) if len(entries) > size else "",
        )

    async def ReadSnapshot(self, request: messages.ReadSnapshotRequest, context: Any) -> None:  # type: ignore[override]
        name = SnapshotName.parse(request.name, "name")
        with self._transfers.reading():
            async with aclosing(self._snapshots.read(name)) as pieces:
                async for piece in pieces:
                    await send(context, messages.ReadSnapshotResponse(data=piece))
