"""Reads contents in order, and what depends on them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.artifacts.content_store import content_of
from runstream_server.artifacts.model import Content
from runstream_server.postgres import Postgres

_PAGE_ROWS = 1_000
_TOLD_PATHS = 20


@dataclass(frozen=True, slots=True)
class Damage:
    """A content whose bytes are not what was stored."""

    digest: str
    object: str
    problem: str
    paths: Sequence[str]
    """Some of the artifacts that have it, `workspaces/{workspace}/runs/{run}/{path}`."""


class ScrubStore:
    """Contents in order of their objects."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def page(self, after: tuple[str, bytes]) -> Sequence[Content]:
        """Returns the next contents, in order of object and digest."""
        rows = await self._postgres.fetch(
            f"""
            SELECT digest, size_bytes, object, start_byte, checksums
              FROM artifacts.content
             WHERE (object, digest) > ($1, $2)
             ORDER BY object, digest
             LIMIT {_PAGE_ROWS}
            """,
            *after,
        )
        return [content_of(row) for row in rows]

    async def note_well(self, contents: Sequence[Content], now: datetime) -> None:
        """Notes that contents were read and found well."""
        await self._postgres.execute(
            """
            UPDATE artifacts.content SET check_time = $2, damage_time = NULL
             WHERE digest = ANY($1::bytea[]) AND object = $3
            """,
            [bytes.fromhex(content.blob.digest) for content in contents],
            now,
            contents[0].object,
        )

    async def damage(self, content: Content, problem: str) -> Damage:
        """Says what depends on a content that is damaged."""
        rows = await self._postgres.fetch(
            f"""
            SELECT 'workspaces/' || workspace || '/runs/' || run || '/' || path AS path
              FROM artifacts.blob
              JOIN artifacts.artifact USING (workspace, digest)
             WHERE digest = $1
             ORDER BY workspace, run, path
             LIMIT {_TOLD_PATHS}
            """,
            bytes.fromhex(content.blob.digest),
        )
        return Damage(content.blob.digest, content.object, problem, [row["path"] for row in rows])
