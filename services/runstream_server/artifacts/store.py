"""Reads and writes the schema `artifacts`. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from asyncpg import Record

from runstream_server.artifacts.errors import ArtifactExists, BlobMissing
from runstream_server.artifacts.model import Artifact, Binding, Blob, Upload
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres


class ArtifactStore:
    """Blobs, uploads and bindings."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def known(self, workspace: str, digests: Sequence[str]) -> Mapping[str, Blob]:
        """Returns those of the blobs that the workspace has, by digest."""
        rows = await self._postgres.fetch(
            "SELECT digest, size_bytes FROM artifacts.blob WHERE workspace = $1 AND digest = ANY($2::bytea[])",
            workspace,
            [bytes.fromhex(digest) for digest in digests],
        )
        return {blob.digest: blob for blob in map(_blob, rows)}

    async def add_upload(self, upload: Upload, now: datetime) -> None:
        """Notes a begun upload."""
        await self._postgres.execute(
            """
            INSERT INTO artifacts.upload (workspace, upload, digest, size_bytes, begin_time)
            VALUES ($1, $2, $3, $4, $5)
            """,
            upload.workspace,
            upload.upload_id,
            bytes.fromhex(upload.blob.digest),
            upload.blob.size_bytes,
            now,
        )

    async def find_upload(self, workspace: str, upload_id: str, begun_after: datetime) -> Upload | None:
        """Returns an upload that was begun after a time."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, upload, digest, size_bytes, completed
              FROM artifacts.upload
             WHERE workspace = $1 AND upload = $2 AND begin_time > $3
            """,
            workspace,
            upload_id,
            begun_after,
        )
        return _upload(row) if row else None

    async def complete_upload(self, upload: Upload, now: datetime) -> None:
        """Makes the blob of an upload known to its workspace. Doing so again changes nothing."""
        await self._postgres.execute(
            """
            WITH completed AS (
                UPDATE artifacts.upload SET completed = true WHERE workspace = $1 AND upload = $2
            )
            INSERT INTO artifacts.blob (workspace, digest, size_bytes, create_time)
            VALUES ($1, $3, $4, $5)
            ON CONFLICT (workspace, digest) DO NOTHING
            """,
            upload.workspace,
            upload.upload_id,
            bytes.fromhex(upload.blob.digest),
            upload.blob.size_bytes,
            now,
        )

    async def old_uploads(self, begun_before: datetime, count: int) -> Sequence[Upload]:
        """Returns up to `count` of the oldest uploads."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, upload, digest, size_bytes, completed
              FROM artifacts.upload
             WHERE begin_time < $1
             ORDER BY begin_time
             LIMIT $2
            """,
            begun_before,
            count,
        )
        return [_upload(row) for row in rows]

    async def forget_upload(self, upload: Upload) -> None:
        """Removes an upload; the blob it brought stays."""
        await self._postgres.execute(
            "DELETE FROM artifacts.upload WHERE workspace = $1 AND upload = $2", upload.workspace, upload.upload_id
        )

    async def bind(self, run: RunName, bindings: Sequence[Binding], now: datetime) -> Sequence[Artifact]:
        """Binds distinct paths, all of them or none; returns the artifacts in the order of the bindings.

        Raises:
            BlobMissing: The workspace does not have a blob.
            ArtifactExists: A path is bound to another blob.
        """
        async with self._postgres.transaction() as connection:
            sizes = await _sizes(connection, run.workspace, bindings)
            await _insert(connection, run, bindings, sizes, now)
            return await _bound(connection, run, bindings)

    async def find(self, run: RunName, paths: Sequence[str]) -> Mapping[str, Artifact]:
        """Returns the artifacts that there are at paths, by path."""
        rows = await self._postgres.fetch(
            """
            SELECT path, digest, size_bytes, create_time
              FROM artifacts.artifact
             WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])
            """,
            run.workspace,
            run.run,
            paths,
        )
        return {row["path"]: _artifact(row) for row in rows}

    async def list_artifacts(
        self, run: RunName, first: str, beyond: str | None, after: str, count: int
    ) -> Sequence[Artifact]:
        """Returns up to `count` artifacts in order of path: at or after `first`, before `beyond`, after `after`."""
        rows = await self._postgres.fetch(
            """
            SELECT path, digest, size_bytes, create_time
              FROM artifacts.artifact
             WHERE workspace = $1 AND run = $2 AND path >= $3 AND ($4::text IS NULL OR path < $4) AND path > $5
             ORDER BY path
             LIMIT $6
            """,
            run.workspace,
            run.run,
            first,
            beyond,
            after,
            count,
        )
        return [_artifact(row) for row in rows]


async def _sizes(connection: Connection, workspace: str, bindings: Sequence[Binding]) -> Mapping[str, int]:
    """Returns the sizes of the blobs, which stay until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT digest, size_bytes
          FROM artifacts.blob
         WHERE workspace = $1 AND digest = ANY($2::bytea[])
         ORDER BY digest
           FOR KEY SHARE
        """,
        workspace,
        [bytes.fromhex(binding.digest) for binding in bindings],
    )
    sizes = {row["digest"].hex(): row["size_bytes"] for row in rows}
    for binding in bindings:
        if binding.digest not in sizes:
            raise BlobMissing(binding.digest, binding.path)
    return sizes


async def _insert(
    connection: Connection, run: RunName, bindings: Sequence[Binding], sizes: Mapping[str, int], now: datetime
) -> None:
    """Adds the bindings whose paths are free, in the order that all transactions keep."""
    ordered = sorted(bindings, key=lambda binding: binding.path)
    await connection.execute(
        """
        INSERT INTO artifacts.artifact (workspace, run, path, digest, size_bytes, create_time)
        SELECT $1, $2, path, digest, size_bytes, $6
          FROM unnest($3::text[], $4::bytea[], $5::bigint[]) WITH ORDINALITY AS new (path, digest, size_bytes, place)
         ORDER BY place
        ON CONFLICT (workspace, run, path) DO NOTHING
        """,
        run.workspace,
        run.run,
        [binding.path for binding in ordered],
        [bytes.fromhex(binding.digest) for binding in ordered],
        [sizes[binding.digest] for binding in ordered],
        now,
    )


async def _bound(connection: Connection, run: RunName, bindings: Sequence[Binding]) -> Sequence[Artifact]:
    rows = await connection.fetch(
        """
        SELECT path, digest, size_bytes, create_time
          FROM artifacts.artifact
         WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])
        """,
        run.workspace,
        run.run,
        [binding.path for binding in bindings],
    )
    artifacts = {row["path"]: _artifact(row) for row in rows}
    for binding in bindings:
        if artifacts[binding.path].blob.digest != binding.digest:
            raise ArtifactExists(binding.path)
    return [artifacts[binding.path] for binding in bindings]


def _blob(row: Record) -> Blob:
    return Blob(row["digest"].hex(), row["size_bytes"])


def _upload(row: Record) -> Upload:
    return Upload(row["workspace"], row["upload"], _blob(row), row["completed"])


def _artifact(row: Record) -> Artifact:
    return Artifact(row["path"], _blob(row), row["create_time"])
