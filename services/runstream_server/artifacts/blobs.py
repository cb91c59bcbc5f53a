"""The rules of blobs: which ones a workspace has, and how it gets more."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from runstream_server.artifacts.errors import DigestMismatch
from runstream_server.artifacts.model import BegunUpload, Parts, PartUpload, UploadState
from runstream_server.artifacts.relay import Relay
from runstream_server.artifacts.small_blobs import EMPTY, SmallBlobs
from runstream_server.artifacts.uploads import Uploads
from runstream_server.artifacts.using import Using
from runstream_server.names import WorkspaceName
from runstream_server.runhistory import RunHistory


class Blobs:
    """Takes in blobs."""

    def __init__(self, using: Using, small: SmallBlobs, uploads: Uploads, relay: Relay, history: RunHistory) -> None:
        self._using = using
        self._small = small
        self._uploads = uploads
        self._relay = relay
        self._history = history

    async def missing(self, workspace: WorkspaceName, digests: Sequence[str]) -> Sequence[str]:
        """Returns those of the digests that the workspace has no blob of, in the same order."""
        known = await self._using.use(workspace.workspace, list(set(digests)))
        return [digest for digest in digests if digest not in known]

    async def store(self, workspace: WorkspaceName, blobs: Sequence[bytes], digests: Sequence[str]) -> Sequence[str]:
        """Stores small blobs, all of them or none; returns their digests. Those told, unless empty, must be right.

        Raises:
            WorkspaceNotFound: No workspace has this name.
            DigestMismatch: A blob has another digest.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._history.check_workspace(workspace))
            digesting = tasks.create_task(self._small.digest(blobs))
        found = digesting.result()
        for told, digested in zip(digests, found, strict=True):
            if told and told != digested.blob.digest:
                raise DigestMismatch(told, digested.blob.digest)
        await self._small.store(workspace, blobs, found)
        return [each.blob.digest for each in found]

    async def begin_upload(self, workspace: WorkspaceName, digest: str | None, parts: Parts) -> BegunUpload | None:
        """Begins an upload; None if the workspace has the blob already.

        Raises:
            WorkspaceNotFound: No workspace has this name.
            DigestMismatch: No bytes are announced, and another digest than they have.
        """
        await self._history.check_workspace(workspace)
        if parts.size_bytes == 0:
            await self.store(workspace, [b""], [digest or EMPTY])
            return None
        if digest and digest in await self._using.use(workspace.workspace, [digest]):
            return None
        return await self._uploads.begin(workspace, digest, parts)

    async def upload_urls(
        self, workspace: WorkspaceName, upload_id: str, numbers: Sequence[int]
    ) -> Sequence[PartUpload]:
        """Returns where to send parts; see `Uploads.urls`."""
        return await self._uploads.urls(workspace, upload_id, numbers)

    async def upload_state(self, workspace: WorkspaceName, upload_id: str) -> UploadState:
        """Says which parts have arrived; see `Uploads.state`."""
        return await self._uploads.state(workspace, upload_id)

    async def relay(self, workspace: WorkspaceName, upload_id: str, offset: int, data: AsyncIterator[bytes]) -> int:
        """Takes bytes of an upload; see `Relay.take`."""
        return await self._relay.take(workspace, upload_id, offset, data)

    async def complete_upload(self, workspace: WorkspaceName, upload_id: str, digest: str | None) -> None:
        """Verifies what arrived and makes the blob known; see `Uploads.complete`."""
        await self._uploads.complete(workspace, upload_id, digest)

    async def abort_upload(self, workspace: WorkspaceName, upload_id: str) -> None:
        """Gives an upload up; see `Uploads.abort`."""
        await self._uploads.abort(workspace, upload_id)
