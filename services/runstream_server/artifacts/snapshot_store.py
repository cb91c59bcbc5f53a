"""Reads and writes `artifacts.snapshot` and `snapshot_entry`."""

from collections.abc import Sequence

from asyncpg import Record

from runstream_server.artifacts.content_store import content_of, place_of
from runstream_server.artifacts.model import Blob, Content
from runstream_server.artifacts.snapshot_model import Snapshot, SnapshotEntry
from runstream_server.names import SnapshotName
from runstream_server.postgres import Connection, Postgres


class SnapshotStore:
    """Manifests of source folders. They are never changed."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def find(self, name: SnapshotName) -> Snapshot | None:
        """Returns a snapshot."""
        row = await self._postgres.fetchrow(
            """
            SELECT file_count, size_bytes, create_time
              FROM artifacts.snapshot
             WHERE workspace = $1 AND snapshot = $2
            """,
            name.workspace,
            bytes.fromhex(name.snapshot),
        )
        return Snapshot(name, row["file_count"], row["size_bytes"], row["create_time"]) if row else None

    async def names_after(self, after: SnapshotName, count: int) -> Sequence[SnapshotName]:
        """Returns up to `count` snapshots of all workspaces, in order of workspace and id."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, snapshot
              FROM artifacts.snapshot
             WHERE (workspace, snapshot) > ($1, $2)
             ORDER BY workspace, snapshot
             LIMIT $3
            """,
            after.workspace,
            bytes.fromhex(after.snapshot),
            count,
        )
        return [SnapshotName(row["workspace"], row["snapshot"].hex()) for row in rows]

    async def add(self, snapshot: Snapshot, entries: Sequence[SnapshotEntry]) -> bool:
        """Stores a snapshot, unless it is there; returns False if the workspace does not have one of its blobs."""
        name = snapshot.name
        async with self._postgres.transaction() as connection:
            if not await _are_there(connection, name.workspace, entries):
                return False
            added = await connection.fetchrow(
                """
                INSERT INTO artifacts.snapshot (workspace, snapshot, file_count, size_bytes, create_time)
                VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT (workspace, snapshot) DO NOTHING
                RETURNING snapshot
                """,
                name.workspace,
                bytes.fromhex(name.snapshot),
                snapshot.file_count,
                snapshot.size_bytes,
                snapshot.create_time,
            )
            if added is not None:
                await _add_entries(connection, name, entries)
            return True

    async def entries(self, name: SnapshotName, after: str, count: int) -> Sequence[SnapshotEntry]:
        """Returns up to `count` entries after a path, in order of path."""
        rows = await self._postgres.fetch(
            """
            SELECT path, digest, size_bytes, executable
              FROM artifacts.snapshot_entry
             WHERE workspace = $1 AND snapshot = $2 AND path > $3
             ORDER BY path
             LIMIT $4
            """,
            name.workspace,
            bytes.fromhex(name.snapshot),
            after,
            count,
        )
        return [_entry(row) for row in rows]

    async def located(
        self, name: SnapshotName, after: str, count: int
    ) -> Sequence[tuple[SnapshotEntry, Content | None]]:
        """Returns up to `count` entries after a path, in order of path, and where the bytes of files are."""
        rows = await self._postgres.fetch(
            f"""
            SELECT path, digest, entry.size_bytes, executable, {place_of("digest")}, checksums
              FROM artifacts.snapshot_entry AS entry
              LEFT JOIN artifacts.content USING (digest)
             WHERE workspace = $1 AND snapshot = $2 AND path > $3
             ORDER BY path
             LIMIT $4
            """,
            name.workspace,
            bytes.fromhex(name.snapshot),
            after,
            count,
        )
        return [(_entry(row), content_of(row) if row["digest"] is not None else None) for row in rows]


async def _are_there(connection: Connection, workspace: str, entries: Sequence[SnapshotEntry]) -> bool:
    """Whether the workspace has all blobs, with these sizes; they stay until the transaction ends."""
    sizes = {bytes.fromhex(entry.blob.digest): entry.blob.size_bytes for entry in entries if entry.blob}
    rows = await connection.fetch(
        """
        SELECT digest, size_bytes
          FROM artifacts.blob
         WHERE workspace = $1 AND digest = ANY($2::bytea[])
         ORDER BY digest
           FOR KEY SHARE
        """,
        workspace,
        list(sizes),
    )
    return {row["digest"]: row["size_bytes"] for row in rows} == sizes


async def _add_entries(connection: Connection, name: SnapshotName, entries: Sequence[SnapshotEntry]) -> None:
    await connection.execute(
        """
        INSERT INTO artifacts.snapshot_entry (workspace, snapshot, path, digest, size_bytes, executable)
        SELECT $1, $2, path, digest, size_bytes, executable
          FROM unnest($3::text[], $4::bytea[], $5::bigint[], $6::boolean[])
            AS new (path, digest, size_bytes, executable)
        """,
        name.workspace,
        bytes.fromhex(name.snapshot),
        [entry.path for entry in entries],
        [bytes.fromhex(entry.blob.digest) if entry.blob else None for entry in entries],
        [entry.blob.size_bytes if entry.blob else 0 for entry in entries],
        [entry.executable for entry in entries],
    )


def _entry(row: Record) -> SnapshotEntry:
    blob = None if row["digest"] is None else Blob(row["digest"].hex(), row["size_bytes"])
    return SnapshotEntry(row["path"], blob, row["executable"])
