"""Reads and writes `artifacts.content`, `blob` and `pack`: which bytes there are, where, and who has them."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from asyncpg import Record

from runstream_server.artifacts.model import Blob, Content
from runstream_server.errors import Interrupted
from runstream_server.postgres import Connection, Postgres


def place_of(digest: str) -> str:
    """Columns that say where the bytes of a blob are: for those of the previous release no row of content says so."""
    legacy = f"'blobs/sha256/' || left(encode({digest}, 'hex'), 2) || '/' || encode({digest}, 'hex')"
    return f"coalesce(object, {legacy}) AS object, coalesce(start_byte, 0) AS start_byte"


class ContentStore:
    """Which bytes there are, where in the bucket, and which workspaces have them."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def use(self, workspace: str, digests: Sequence[str], now: datetime, stale: datetime) -> Mapping[str, Blob]:
        """Returns those of the blobs that the workspace has, by digest; none is collected before the grace from `now`.

        Uses before `stale` are renewed. What is damaged is not had: who sends it again mends it.
        """
        rows = await self._postgres.fetch(
            """
            SELECT digest, blob.size_bytes, use_time < $3 AS is_stale
              FROM artifacts.blob
              LEFT JOIN artifacts.content USING (digest)
             WHERE workspace = $1 AND digest = ANY($2::bytea[]) AND damage_time IS NULL
            """,
            workspace,
            [bytes.fromhex(digest) for digest in digests],
            stale,
        )
        old = [row["digest"] for row in rows if row["is_stale"]]
        renewed = await self._renew(workspace, old, now) if old else set()
        had = [row for row in rows if not row["is_stale"] or row["digest"] in renewed]
        return {row["digest"].hex(): Blob(row["digest"].hex(), row["size_bytes"]) for row in had}

    async def _renew(self, workspace: str, digests: Sequence[bytes], now: datetime) -> set[bytes]:
        """Notes that blobs are used; returns those that are still there."""
        rows = await self._postgres.fetch(
            """
            WITH stale AS (
                SELECT digest
                  FROM artifacts.blob
                 WHERE workspace = $1 AND digest = ANY($2::bytea[])
                 ORDER BY digest
                   FOR NO KEY UPDATE
            )
            UPDATE artifacts.blob SET use_time = greatest(use_time, $3)
              FROM stale
             WHERE blob.workspace = $1 AND blob.digest = stale.digest
            RETURNING blob.digest
            """,
            workspace,
            digests,
            now,
        )
        return {row["digest"] for row in rows}

    async def locate(self, workspace: str, digests: Sequence[str], *, checksums: bool = False) -> Mapping[str, Content]:
        """Returns where those of the blobs are that the workspace has, by digest."""
        rows = await self._postgres.fetch(
            f"""
            SELECT digest, blob.size_bytes, {place_of("digest")}, CASE WHEN $3 THEN checksums END AS checksums
              FROM artifacts.blob
              LEFT JOIN artifacts.content USING (digest)
             WHERE workspace = $1 AND digest = ANY($2::bytea[])
            """,
            workspace,
            [bytes.fromhex(digest) for digest in digests],
            checksums,
        )
        return {content.blob.digest: content for content in map(content_of, rows)}

    async def existing(self, digests: Sequence[str]) -> set[str]:
        """Returns those of the digests whose bytes are there, whoever has them."""
        rows = await self._postgres.fetch(
            "SELECT digest FROM artifacts.content WHERE digest = ANY($1::bytea[]) AND damage_time IS NULL",
            [bytes.fromhex(digest) for digest in digests],
        )
        return {row["digest"].hex() for row in rows}

    async def note_object(self, key: str, size_bytes: int, delete_time: datetime) -> None:
        """Notes an object that is about to be written, so that it is deleted if nothing comes to refer to it."""
        await self._postgres.execute(
            "INSERT INTO artifacts.garbage (object, size_bytes, delete_time) VALUES ($1, $2, $3)",
            key,
            size_bytes,
            delete_time,
        )

    async def keep_noted(
        self, workspace: str, key: str, written: Sequence[Content], existing: Sequence[Blob], now: datetime
    ) -> bool:
        """Gives a workspace what was written into a noted object, and what was there; all of it or nothing.

        Returns False, and changes nothing, if something that was there is not any more.
        """
        if not existing and await self._keep_new(workspace, key, written, now):
            return True
        async with self._postgres.transaction() as connection:
            if not await _still_there(connection, existing):
                return False
            await strike_out(connection, key)
            await keep(connection, workspace, key, written, now)
            await _give(connection, workspace, existing, now)
            return True

    async def _keep_new(self, workspace: str, key: str, written: Sequence[Content], now: datetime) -> bool:
        """As `keep_noted`, by one statement; False, and changes nothing, if any of it is there meanwhile."""
        try:
            async with self._postgres.transaction() as connection:
                await _insert(connection, workspace, key, written, now)
        except _NotNew:
            return False
        return True

    async def give(self, workspace: str, existing: Sequence[Blob], now: datetime) -> bool:
        """Gives a workspace what is there; returns False, and changes nothing, if something is not any more."""
        async with self._postgres.transaction() as connection:
            if not await _still_there(connection, existing):
                return False
            await _give(connection, workspace, existing, now)
            return True

    async def note_checksums(self, content: Content, checksums: bytes, now: datetime) -> None:
        """Notes the checksums of bytes that were read and found well."""
        await self._postgres.execute(
            """
            UPDATE artifacts.content SET checksums = $3, check_time = $4, damage_time = NULL
             WHERE digest = $1 AND object = $2
            """,
            bytes.fromhex(content.blob.digest),
            content.object,
            checksums,
            now,
        )

    async def note_damage(self, content: Content, now: datetime) -> None:
        """Notes that the bytes of a content are not what they were; a later one of the same digest replaces it."""
        await self._postgres.execute(
            "UPDATE artifacts.content SET damage_time = $3 WHERE digest = $1 AND object = $2 AND damage_time IS NULL",
            bytes.fromhex(content.blob.digest),
            content.object,
            now,
        )


class _NotNew(Exception):
    """Bytes are there meanwhile, or the object is not noted any more."""


async def _insert(connection: Connection, workspace: str, key: str, written: Sequence[Content], now: datetime) -> None:
    """Gives a workspace contents that are new; raises _NotNew if one is not."""
    ordered = sorted(written, key=lambda content: content.blob.digest)
    row = await connection.fetchrow(
        """
        WITH new AS (
            SELECT digest, size_bytes, start_byte, checksums, place
              FROM unnest($3::bytea[], $4::bigint[], $5::bigint[], $6::bytea[]) WITH ORDINALITY
                AS new (digest, size_bytes, start_byte, checksums, place)
        ), struck AS (
            DELETE FROM artifacts.garbage WHERE object = $2 AND NOT doomed RETURNING object
        ), stored AS (
            INSERT INTO artifacts.content (digest, size_bytes, object, start_byte, checksums, create_time, check_time)
            SELECT digest, size_bytes, $2, start_byte, checksums, $7, $7 FROM new ORDER BY place
            ON CONFLICT DO NOTHING
            RETURNING digest
        ), given AS (
            INSERT INTO artifacts.blob (workspace, digest, size_bytes, create_time, use_time)
            SELECT $1, digest, size_bytes, $7, $7 FROM new ORDER BY place
            ON CONFLICT (workspace, digest) DO UPDATE SET use_time = greatest(blob.use_time, excluded.use_time)
        ), filed AS (
            INSERT INTO artifacts.pack (object, size_bytes, create_time)
            SELECT object, (SELECT sum(size_bytes) FROM new), $7 FROM struck WHERE starts_with(object, 'packs/')
        )
        SELECT (SELECT count(*) FROM struck) AS struck, (SELECT count(*) FROM stored) AS stored
        """,
        workspace,
        key,
        [bytes.fromhex(content.blob.digest) for content in ordered],
        [content.blob.size_bytes for content in ordered],
        [content.start for content in ordered],
        [content.checksums for content in ordered],
        now,
    )
    if row is None or (row["struck"], row["stored"]) != (1, len(ordered)):
        raise _NotNew


async def keep(connection: Connection, workspace: str, key: str, written: Sequence[Content], now: datetime) -> None:
    """Gives a workspace contents that were written into the object `key`.

    Bytes that were there meanwhile stay where they are; an object that nothing refers to then becomes garbage.
    """
    ordered = sorted(written, key=lambda content: content.blob.digest)
    digests = [bytes.fromhex(content.blob.digest) for content in ordered]
    replaced = await _damaged(connection, digests)
    await connection.execute(
        """
        INSERT INTO artifacts.content (digest, size_bytes, object, start_byte, checksums, create_time, check_time)
        SELECT digest, size_bytes, $1, start_byte, checksums, $6, $6
          FROM unnest($2::bytea[], $3::bigint[], $4::bigint[], $5::bytea[]) WITH ORDINALITY
            AS new (digest, size_bytes, start_byte, checksums, place)
         ORDER BY place
        ON CONFLICT (digest) DO UPDATE
           SET object = excluded.object, start_byte = excluded.start_byte, checksums = excluded.checksums,
               check_time = excluded.check_time, damage_time = NULL
         WHERE content.damage_time IS NOT NULL
        """,
        key,
        digests,
        [content.blob.size_bytes for content in ordered],
        [content.start for content in ordered],
        [content.checksums for content in ordered],
        now,
    )
    await _give(connection, workspace, [content.blob for content in ordered], now)
    size_bytes = sum(content.blob.size_bytes for content in ordered)
    await _file(connection, key, size_bytes, now)
    for each in replaced:
        await _file(connection, each, 0, now)


async def _damaged(connection: Connection, digests: Sequence[bytes]) -> Sequence[str]:
    """The objects of their own of contents that are damaged. None of the others gets so before the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT object, damage_time IS NOT NULL AS is_damaged
          FROM artifacts.content
         WHERE digest = ANY($1::bytea[])
         ORDER BY digest
           FOR UPDATE
        """,
        digests,
    )
    return [row["object"] for row in rows if row["is_damaged"] and not row["object"].startswith("packs/")]


async def _give(connection: Connection, workspace: str, blobs: Sequence[Blob], now: datetime) -> None:
    ordered = sorted(blobs, key=lambda blob: blob.digest)
    await connection.execute(
        """
        INSERT INTO artifacts.blob (workspace, digest, size_bytes, create_time, use_time)
        SELECT $1, digest, size_bytes, $4, $4
          FROM unnest($2::bytea[], $3::bigint[]) WITH ORDINALITY AS new (digest, size_bytes, place)
         ORDER BY place
        ON CONFLICT (workspace, digest) DO UPDATE SET use_time = greatest(blob.use_time, excluded.use_time)
        """,
        workspace,
        [bytes.fromhex(blob.digest) for blob in ordered],
        [blob.size_bytes for blob in ordered],
        now,
    )


async def _file(connection: Connection, key: str, size_bytes: int, now: datetime) -> None:
    """Notes an object as a pack, or as garbage if nothing refers to it."""
    is_used = await connection.fetchval("SELECT EXISTS (SELECT FROM artifacts.content WHERE object = $1)", key)
    if not is_used:
        await connection.execute(
            """
            INSERT INTO artifacts.garbage (object, size_bytes, delete_time) VALUES ($1, $2, $3)
            ON CONFLICT (object) DO NOTHING
            """,
            key,
            size_bytes,
            now,
        )
    elif key.startswith("packs/"):
        await connection.execute(
            "INSERT INTO artifacts.pack (object, size_bytes, create_time) VALUES ($1, $2, $3)", key, size_bytes, now
        )


async def _still_there(connection: Connection, blobs: Sequence[Blob]) -> bool:
    """Whether the bytes of all blobs are there, which then stay until the transaction ends."""
    rows = await connection.fetch(
        """
        SELECT digest
          FROM artifacts.content
         WHERE digest = ANY($1::bytea[]) AND damage_time IS NULL
         ORDER BY digest
           FOR KEY SHARE
        """,
        [bytes.fromhex(blob.digest) for blob in blobs],
    )
    return len(rows) == len(blobs)


async def strike_out(connection: Connection, key: str) -> None:
    """Takes an object off the garbage; it must not be on its way out already."""
    row = await connection.fetchrow(
        "DELETE FROM artifacts.garbage WHERE object = $1 AND NOT doomed RETURNING object", key
    )
    if row is None:
        raise Interrupted


def content_of(row: Record) -> Content:
    """Makes a content of a row of `artifacts.content`."""
    blob = Blob(row["digest"].hex(), row["size_bytes"])
    return Content(blob, row["object"], row["start_byte"], row["checksums"])
