"""Reads and writes `artifacts.garbage`: objects on their way out."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.postgres import Postgres


@dataclass(frozen=True, slots=True)
class Discarded:
    """An object to be deleted. No other object ever gets its key."""

    object: str
    parts_id: str | None
    """What the bucket calls its parts, if it may not be whole."""

    size_bytes: int


class GarbageStore:
    """Objects that nothing refers to."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def doom(self, now: datetime, count: int) -> Sequence[Discarded]:
        """Returns up to `count` objects whose time is over; from now on nothing can come to refer to them.

        They are returned again until they are forgotten.
        """
        rows = await self._postgres.fetch(
            """
            UPDATE artifacts.garbage SET doomed = true
             WHERE object IN (
                SELECT object
                  FROM artifacts.garbage
                 WHERE delete_time <= $1
                 ORDER BY delete_time
                 LIMIT $2
                   FOR UPDATE SKIP LOCKED
             )
            RETURNING object, parts, size_bytes
            """,
            now,
            count,
        )
        return [Discarded(row["object"], row["parts"], row["size_bytes"]) for row in rows]

    async def forget(self, objects: Sequence[str]) -> None:
        """Strikes out objects that are deleted."""
        await self._postgres.execute("DELETE FROM artifacts.garbage WHERE object = ANY($1::text[]) AND doomed", objects)

    async def postpone(self, objects: Sequence[str], delete_time: datetime) -> None:
        """Has objects be returned again only from a time on. Nothing can come to refer to them still."""
        await self._postgres.execute(
            "UPDATE artifacts.garbage SET delete_time = $2 WHERE object = ANY($1::text[])", objects, delete_time
        )

    async def pending(self) -> tuple[int, int]:
        """Returns how many objects wait for their time, and how many bytes they have."""
        row = await self._postgres.fetchrow(
            "SELECT count(*) AS objects, coalesce(sum(size_bytes), 0)::bigint AS size_bytes FROM artifacts.garbage"
        )
        return (row["objects"], row["size_bytes"]) if row else (0, 0)
