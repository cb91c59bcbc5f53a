"""Finds and removes what nothing refers to. Whatever is removed is locked first and then looked at once more."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.artifacts.content_store import content_of, strike_out
from runstream_server.artifacts.model import Content
from runstream_server.postgres import Connection, Postgres

_PAGE_ROWS = 1_000

_UNUSED = """
    use_time < {cutoff}
    AND NOT EXISTS (SELECT FROM artifacts.artifact
                     WHERE artifact.workspace = blob.workspace AND artifact.digest = blob.digest)
    AND NOT EXISTS (SELECT FROM artifacts.snapshot_entry
                     WHERE snapshot_entry.workspace = blob.workspace AND snapshot_entry.digest = blob.digest)
"""
"""Whether a row of blob can go: nothing refers to it, and nobody was told of it lately."""


@dataclass(frozen=True, slots=True)
class BlobPage:
    """Blobs that can go, among the next ones in order."""

    workspaces: Sequence[str]
    digests: Sequence[bytes]
    last: tuple[str, bytes] | None
    """The last one that was looked at; None: there are no more."""


@dataclass(frozen=True, slots=True)
class ContentPage:
    """Contents that can go, among the next ones in order."""

    digests: Sequence[bytes]
    size_bytes: int
    last: bytes | None


@dataclass(frozen=True, slots=True)
class PackUse:
    """How much of a pack is still in use."""

    object: str
    size_bytes: int
    live_count: int
    live_bytes: int


class CollectionStore:
    """Blobs, contents and packs in order, page by page."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def claim(self, now: datetime, interval: timedelta) -> bool:
        """Whether it is time to look for garbage, and nobody else does."""
        claimed = await self._postgres.fetchval(
            """
            INSERT INTO artifacts.collection (start_time) VALUES ($1)
            ON CONFLICT (is_only) DO UPDATE SET start_time = $1 WHERE collection.start_time <= $1 - $2::interval
            RETURNING true
            """,
            now,
            interval,
        )
        return bool(claimed)

    async def unused_blobs(self, after: tuple[str, bytes], cutoff: datetime) -> BlobPage:
        """Looks at the next blobs, in order of workspace and digest."""
        rows = await self._postgres.fetch(
            f"""
            SELECT workspace, digest, {_UNUSED.format(cutoff="$3")} AS unused
              FROM (SELECT workspace, digest, use_time
                      FROM artifacts.blob
                     WHERE (workspace, digest) > ($1, $2)
                     ORDER BY workspace, digest
                     LIMIT {_PAGE_ROWS}) AS blob
             ORDER BY workspace, digest
            """,
            *after,
            cutoff,
        )
        unused = [row for row in rows if row["unused"]]
        last = (rows[-1]["workspace"], rows[-1]["digest"]) if rows else None
        return BlobPage([row["workspace"] for row in unused], [row["digest"] for row in unused], last)

    async def remove_blobs(self, page: BlobPage, cutoff: datetime) -> int:
        """Takes blobs from their workspaces, unless somebody began to use them; returns how many."""
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                SELECT workspace, digest
                  FROM artifacts.blob
                  JOIN unnest($1::text[], $2::bytea[]) AS page (workspace, digest) USING (workspace, digest)
                 ORDER BY workspace, digest
                   FOR UPDATE OF blob SKIP LOCKED
                """,
                page.workspaces,
                page.digests,
            )
            tag = await connection.execute(
                f"""
                DELETE FROM artifacts.blob
                 USING unnest($1::text[], $2::bytea[]) AS locked (workspace, digest)
                 WHERE blob.workspace = locked.workspace AND blob.digest = locked.digest
                   AND {_UNUSED.format(cutoff="$3")}
                """,
                [row["workspace"] for row in rows],
                [row["digest"] for row in rows],
                cutoff,
            )
            return int(tag.rpartition(" ")[2])

    async def unused_contents(self, after: bytes, cutoff: datetime | None) -> ContentPage:
        """Looks at the next contents, in order of digest. With a cutoff blobs that can go count as gone."""
        unused = _UNUSED.format(cutoff="$2")
        rows = await self._postgres.fetch(
            f"""
            SELECT digest, size_bytes,
                   NOT EXISTS (SELECT FROM artifacts.blob
                                WHERE blob.digest = content.digest AND ($2::timestamptz IS NULL OR NOT ({unused})))
                   AS unused
              FROM (SELECT digest, size_bytes
                      FROM artifacts.content
                     WHERE digest > $1
                     ORDER BY digest
                     LIMIT {_PAGE_ROWS}) AS content
             ORDER BY digest
            """,
            after,
            cutoff,
        )
        gone = [row for row in rows if row["unused"]]
        size_bytes = sum(row["size_bytes"] for row in gone)
        return ContentPage([row["digest"] for row in gone], size_bytes, rows[-1]["digest"] if rows else None)

    async def remove_contents(self, digests: Sequence[bytes], delete_time: datetime) -> tuple[int, int]:
        """Removes contents that no workspace has, making garbage of their objects; returns how many, and bytes."""
        async with self._postgres.transaction() as connection:
            rows = await connection.fetch(
                """
                SELECT digest
                  FROM artifacts.content
                 WHERE digest = ANY($1::bytea[])
                 ORDER BY digest
                   FOR UPDATE SKIP LOCKED
                """,
                digests,
            )
            removed = await connection.fetch(
                """
                DELETE FROM artifacts.content
                 WHERE digest = ANY($1::bytea[])
                   AND NOT EXISTS (SELECT FROM artifacts.blob WHERE blob.digest = content.digest)
                RETURNING object, size_bytes
                """,
                [row["digest"] for row in rows],
            )
            own = [row for row in removed if not row["object"].startswith("packs/")]
            await _discard(connection, [row["object"] for row in own], [row["size_bytes"] for row in own], delete_time)
            return len(removed), sum(row["size_bytes"] for row in removed)

    async def packs(self, after: str) -> Sequence[PackUse]:
        """Looks at the next packs, in order of their keys."""
        rows = await self._postgres.fetch(
            f"""
            SELECT pack.object, pack.size_bytes, count(content.digest) AS live_count,
                   coalesce(sum(content.size_bytes), 0)::bigint AS live_bytes
              FROM (SELECT object, size_bytes
                      FROM artifacts.pack
                     WHERE object > $1
                     ORDER BY object
                     LIMIT {_PAGE_ROWS}) AS pack
              LEFT JOIN artifacts.content USING (object)
             GROUP BY pack.object, pack.size_bytes
             ORDER BY pack.object
            """,
            after,
        )
        return [PackUse(row["object"], row["size_bytes"], row["live_count"], row["live_bytes"]) for row in rows]

    async def packed(self, packs: Sequence[str]) -> Sequence[Content]:
        """Returns the contents that are in packs, except for damaged ones."""
        rows = await self._postgres.fetch(
            """
            SELECT digest, size_bytes, object, start_byte, checksums
              FROM artifacts.content
             WHERE object = ANY($1::text[]) AND damage_time IS NULL
             ORDER BY object, start_byte
            """,
            packs,
        )
        return [content_of(row) for row in rows]

    async def move(
        self, packs: Sequence[str], key: str, moved: Sequence[Content], now: datetime, delete_time: datetime
    ) -> None:
        """Has contents of old packs be in the noted object `key`; packs that hold nothing any more become garbage."""
        ordered = sorted(moved, key=lambda content: content.blob.digest)
        digests = [bytes.fromhex(content.blob.digest) for content in ordered]
        async with self._postgres.transaction() as connection:
            await strike_out(connection, key)
            await connection.fetch(
                "SELECT digest FROM artifacts.content WHERE digest = ANY($1::bytea[]) ORDER BY digest FOR UPDATE",
                digests,
            )
            await connection.execute(
                """
                UPDATE artifacts.content SET object = $1, start_byte = new.start_byte
                  FROM unnest($2::bytea[], $3::bigint[]) AS new (digest, start_byte)
                 WHERE content.digest = new.digest AND content.object = ANY($4::text[])
                """,
                key,
                digests,
                [content.start for content in ordered],
                packs,
            )
            size_bytes = sum(content.blob.size_bytes for content in ordered)
            await connection.execute(
                "INSERT INTO artifacts.pack (object, size_bytes, create_time) VALUES ($1, $2, $3)",
                key,
                size_bytes,
                now,
            )
            await _retire(connection, [*packs, key], delete_time)

    async def retire(self, packs: Sequence[str], delete_time: datetime) -> None:
        """Makes garbage of those packs that hold nothing any more."""
        async with self._postgres.transaction() as connection:
            await _retire(connection, packs, delete_time)

    async def strangers(self, keys: Sequence[str]) -> Sequence[str]:
        """Returns those of the keys that nothing in the database knows."""
        rows = await self._postgres.fetch(
            """
            SELECT key
              FROM unnest($1::text[]) AS bucket (key)
             WHERE NOT EXISTS (SELECT FROM artifacts.content WHERE object = key)
               AND NOT EXISTS (SELECT FROM artifacts.pack WHERE object = key)
               AND NOT EXISTS (SELECT FROM artifacts.garbage WHERE object = key)
               AND NOT EXISTS (SELECT FROM artifacts.upload WHERE object = key)
               AND NOT EXISTS (SELECT FROM artifacts.upload WHERE 'uploads/' || upload || '/' = left(key, 41))
               AND NOT EXISTS (SELECT FROM artifacts.blob
                                WHERE digest = CASE WHEN key ~ '^blobs/sha256/../[0-9a-f]{64}$'
                                                    THEN decode(right(key, 64), 'hex')
                                               END)
            """,
            keys,
        )
        return [row["key"] for row in rows]


async def _retire(connection: Connection, packs: Sequence[str], delete_time: datetime) -> None:
    rows = await connection.fetch(
        """
        DELETE FROM artifacts.pack
         WHERE object = ANY($1::text[])
           AND NOT EXISTS (SELECT FROM artifacts.content WHERE content.object = pack.object)
        RETURNING object, size_bytes
        """,
        packs,
    )
    await _discard(connection, [row["object"] for row in rows], [row["size_bytes"] for row in rows], delete_time)


async def _discard(connection: Connection, objects: Sequence[str], sizes: Sequence[int], delete_time: datetime) -> None:
    """Notes objects as garbage."""
    await connection.execute(
        """
        INSERT INTO artifacts.garbage (object, size_bytes, delete_time)
        SELECT object, size_bytes, $3 FROM unnest($1::text[], $2::bigint[]) AS new (object, size_bytes)
        ON CONFLICT (object) DO NOTHING
        """,
        objects,
        sizes,
        delete_time,
    )
