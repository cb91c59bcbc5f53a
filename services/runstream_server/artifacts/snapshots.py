"""The rules of snapshots."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, closing
from datetime import datetime

from runstream_server.artifacts.archive import Archive
from runstream_server.artifacts.contents import Contents
from runstream_server.artifacts.model import MAX_SMALL_BLOB_BYTES, Content
from runstream_server.artifacts.snapshot_model import (
    Manifest,
    Snapshot,
    SnapshotEntry,
    SnapshotLimits,
    SnapshotTooLarge,
    snapshot_id,
)
from runstream_server.artifacts.snapshot_store import SnapshotStore
from runstream_server.artifacts.using import Using
from runstream_server.errors import Interrupted, InvalidField
from runstream_server.names import SnapshotName, WorkspaceName
from runstream_server.not_found import SnapshotNotFound
from runstream_server.runhistory import RunHistory

_ATTEMPTS = 4
_PAGE_ENTRIES = 500
_GROUP_BYTES = 1 << 20
_GROUP_ENTRIES = 500


class Snapshots:
    """Makes, finds and reads snapshots."""

    def __init__(
        self,
        store: SnapshotStore,
        using: Using,
        contents: Contents,
        history: RunHistory,
        limits: SnapshotLimits,
        now: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._using = using
        self._contents = contents
        self._history = history
        self._limits = limits
        self._now = now

    async def create(self, workspace: WorkspaceName, entries: Sequence[SnapshotEntry]) -> Snapshot | Sequence[str]:
        """Makes a snapshot, or returns the digests that the workspace does not have, each once, in order.

        Doing so again returns the same snapshot.

        Raises:
            WorkspaceNotFound: No workspace has this name.
            SnapshotTooLarge: What the workspace does not have is more than the server takes.
            InvalidField: An entry has another size than its blob.
        """
        await self._history.check_workspace(workspace)
        name = SnapshotName(workspace.workspace, await asyncio.to_thread(snapshot_id, entries))
        found = await self._store.find(name)
        for _ in range(_ATTEMPTS):
            missing = await self._missing(workspace, entries)
            if missing:
                self._check_limits(missing)
                return list(dict.fromkeys(entry.blob.digest for entry in missing if entry.blob))
            if found is not None:
                return found
            blobs = [entry.blob for entry in entries if entry.blob]
            snapshot = Snapshot(name, len(blobs), sum(blob.size_bytes for blob in blobs), self._now())
            if await self._store.add(snapshot, entries):
                return await self.get(name)
        raise Interrupted  # a blob was collected in between, again and again

    async def _missing(self, workspace: WorkspaceName, entries: Sequence[SnapshotEntry]) -> Sequence[SnapshotEntry]:
        digests = {entry.blob.digest for entry in entries if entry.blob}
        known = await self._using.use(workspace.workspace, list(digests))
        for place, entry in enumerate(entries):
            if entry.blob and entry.blob != known.get(entry.blob.digest, entry.blob):
                size = known[entry.blob.digest].size_bytes
                raise InvalidField(f"entries[{place}].size_bytes", f"the blob has {size} bytes")
        return [entry for entry in entries if entry.blob and entry.blob.digest not in known]

    def _check_limits(self, missing: Sequence[SnapshotEntry]) -> None:
        size_bytes = sum(entry.blob.size_bytes for entry in missing if entry.blob)
        if len(missing) > self._limits.max_files or size_bytes > self._limits.max_bytes:
            raise SnapshotTooLarge(missing, self._limits)

    async def get(self, name: SnapshotName) -> Snapshot:
        """Returns a snapshot; raises SnapshotNotFound."""
        snapshot = await self._store.find(name)
        if snapshot is None:
            raise SnapshotNotFound(name)
        return snapshot

    async def entries(self, name: SnapshotName, after: str, count: int) -> Sequence[SnapshotEntry]:
        """Returns up to `count` entries after a path, in order of path; raises SnapshotNotFound."""
        await self.get(name)
        return await self._store.entries(name, after, count)

    async def read(self, name: SnapshotName) -> AsyncGenerator[bytes, None]:
        """Yields a snapshot as a zip archive, in pieces of at most 256 KiB; holds a few MiB of it.

        Raises:
            SnapshotNotFound: No snapshot has this name.
            DataLoss: A blob is not what was stored, or the manifest is not; of that the end of the archive is missing.
        """
        await self.get(name)
        manifest = Manifest()
        with closing(Archive()) as archive:
            async with aclosing(self._groups(name)) as groups:
                async for group in groups:
                    for entry, _ in group.members:
                        manifest.add(entry)
                    async with aclosing(self._packed(archive, group)) as pieces:
                        async for piece in pieces:
                            yield piece
            manifest.check(name)
            for piece in archive.finish():
                yield piece

    async def _groups(self, name: SnapshotName) -> "AsyncGenerator[_Group, None]":
        """Yields the entries, together what is read together."""
        group = _Group()
        page = await self._store.located(name, "", _PAGE_ENTRIES)
        while page:
            for entry, content in page:
                if group and not group.takes(content):
                    yield group
                    group = _Group()
                group.add(entry, content)
            page = await self._store.located(name, page[-1][0].path, _PAGE_ENTRIES)
        if group:
            yield group

    async def _packed(self, archive: Archive, group: "_Group") -> AsyncGenerator[bytes, None]:
        """Yields what entries become in the archive."""
        entry, content = group.members[0]
        if content is not None and content.blob.size_bytes > MAX_SMALL_BLOB_BYTES:
            blocks = self._contents.read(content, 0, content.blob.size_bytes)
            async with aclosing(blocks), aclosing(archive.add_large(entry, blocks)) as pieces:
                async for piece in pieces:
                    yield piece
            return
        data = iter(await self._contents.read_packed([content for _, content in group.members if content]))
        files = [(entry, next(data) if content else None) for entry, content in group.members]
        for piece in await archive.add_small(files):
            yield piece


class _Group:
    """Entries that are read together: small files and folders, or one large file."""

    def __init__(self) -> None:
        self.members: list[tuple[SnapshotEntry, Content | None]] = []
        self._room = _GROUP_BYTES

    def __bool__(self) -> bool:
        return bool(self.members)

    def takes(self, content: Content | None) -> bool:
        """Whether a file can be read together with the others."""
        return _size(content) <= min(self._room, MAX_SMALL_BLOB_BYTES) and len(self.members) < _GROUP_ENTRIES

    def add(self, entry: SnapshotEntry, content: Content | None) -> None:
        """Adds an entry."""
        self.members.append((entry, content))
        self._room -= _size(content) if _size(content) <= MAX_SMALL_BLOB_BYTES else _GROUP_BYTES + 1


def _size(content: Content | None) -> int:
    return content.blob.size_bytes if content else 0
