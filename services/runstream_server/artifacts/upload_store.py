"""Reads and writes `artifacts.upload`."""

from collections.abc import Sequence
from datetime import datetime

from asyncpg import Record

from runstream_server.artifacts.content_store import keep
from runstream_server.artifacts.model import Content, Parts, Upload
from runstream_server.postgres import Connection, Postgres


class UploadStore:
    """The uploads that were begun within a day."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, upload: Upload) -> None:
        """Notes a begun upload."""
        await self._postgres.execute(
            """
            INSERT INTO artifacts.upload
                   (workspace, upload, digest, size_bytes, begin_time, object, parts, part_size_bytes)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
            """,
            upload.workspace,
            upload.upload_id,
            bytes.fromhex(upload.digest) if upload.digest else None,
            upload.parts.size_bytes,
            upload.begin_time,
            upload.object,
            upload.parts_id,
            upload.parts.part_bytes,
        )

    async def find(self, workspace: str, upload_id: str, begun_after: datetime) -> Upload | None:
        """Returns an upload that was begun after a time."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, upload, digest, size_bytes, begin_time, object, parts, part_size_bytes, completed
              FROM artifacts.upload
             WHERE workspace = $1 AND upload = $2 AND begin_time > $3 AND object IS NOT NULL
            """,
            workspace,
            upload_id,
            begun_after,
        )
        return _upload(row) if row else None

    async def complete(self, upload: Upload, content: Content, now: datetime) -> bool:
        """Makes the verified content of an upload known to its workspace. Doing so again changes nothing.

        Returns False, and changes nothing, if the upload was given up.
        """
        async with self._postgres.transaction() as connection:
            row = await connection.fetchrow(
                """
                SELECT completed FROM artifacts.upload WHERE workspace = $1 AND upload = $2 FOR UPDATE
                """,
                upload.workspace,
                upload.upload_id,
            )
            if row is None or row["completed"]:
                return row is not None
            await connection.execute(
                "UPDATE artifacts.upload SET completed = true, digest = $3 WHERE workspace = $1 AND upload = $2",
                upload.workspace,
                upload.upload_id,
                bytes.fromhex(content.blob.digest),
            )
            await keep(connection, upload.workspace, upload.object, [content], now)
            return True

    async def give_up(self, workspace: str, upload_id: str, now: datetime) -> bool:
        """Makes garbage of an upload that is not completed; returns whether there is one."""
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                DELETE FROM artifacts.upload
                 WHERE workspace = $1 AND upload = $2 AND NOT completed
                RETURNING object, parts, size_bytes, completed
                """,
                workspace,
                upload_id,
            )
            await _make_garbage(connection, rows, now)
            return bool(rows)

    async def give_up_old(self, begun_before: datetime, now: datetime, count: int) -> int:
        """Forgets up to `count` old uploads; what was not completed becomes garbage. Returns how many there were."""
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                WITH old AS (
                    SELECT workspace, upload
                      FROM artifacts.upload
                     WHERE begin_time < $1
                     ORDER BY begin_time
                     LIMIT $2
                       FOR UPDATE SKIP LOCKED
                )
                DELETE FROM artifacts.upload USING old
                 WHERE upload.workspace = old.workspace AND upload.upload = old.upload
                RETURNING object, parts, size_bytes, completed
                """,
                begun_before,
                count,
            )
            await _make_garbage(connection, rows, now)
            return len(rows)


async def _make_garbage(connection: Connection, rows: Sequence[Record], now: datetime) -> None:
    left = [row for row in rows if row["object"] is not None and not row["completed"]]
    await connection.execute(
        """
        INSERT INTO artifacts.garbage (object, parts, size_bytes, delete_time)
        SELECT object, parts, size_bytes, $4
          FROM unnest($1::text[], $2::text[], $3::bigint[]) AS new (object, parts, size_bytes)
        ON CONFLICT (object) DO NOTHING
        """,
        [row["object"] for row in left],
        [row["parts"] for row in left],
        [row["size_bytes"] for row in left],
        now,
    )


def _upload(row: Record) -> Upload:
    return Upload(
        workspace=row["workspace"],
        upload_id=row["upload"],
        digest=row["digest"].hex() if row["digest"] else None,
        parts=Parts(row["size_bytes"], row["part_size_bytes"]),
        object=row["object"],
        parts_id=row["parts"],
        begin_time=row["begin_time"],
        completed=row["completed"],
    )
