"""Reads the values of all runs in the order in which they lie. Rows do not leave this module."""

from collections.abc import Sequence
from dataclasses import dataclass

from asyncpg import Record

from runstream_server.metrics.sealing.model import SealedObject
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_PAGE_CHUNKS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Place:
    """Consecutive values of one series."""

    metric: str
    start_index: int
    end_index: int


@dataclass(frozen=True, slots=True)
class HotChunk:
    """A chunk that is not sealed."""

    place: Place
    series: int
    columns: bytes
    checksum: bytes | None
    overview: bytes | None


class MetricScrubStore:
    """Chunks and gaps between them, run by run."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def runs_after(self, after: tuple[str, str], count: int) -> Sequence[RunName]:
        """Returns up to `count` runs with series after a workspace and run, of all workspaces, in that order."""
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run
              FROM metrics.name_count
             WHERE (workspace, run) > ($1, $2)
             ORDER BY workspace, run
             LIMIT $3
            """,
            *after,
            count,
        )
        return [RunName(row["workspace"], row["run"]) for row in rows]

    async def counts(self, run: RunName) -> tuple[int, int]:
        """How many series a run has, and how many values."""
        row = await self._postgres.fetchrow(
            """
            SELECT count(*) AS series, coalesce(sum(point_count), 0)::bigint AS points
              FROM metrics.series
             WHERE workspace = $1 AND run = $2
            """,
            run.workspace,
            run.run,
        )
        return (row["series"], row["points"]) if row else (0, 0)

    async def gaps(self, run: RunName) -> Sequence[Place]:
        """Which values of a run are in no chunk, sealed or not."""
        rows = await self._postgres.fetch(
            """
            WITH known AS (
                SELECT series, start_index, start_index + point_count AS beyond
                  FROM metrics.chunk
                 WHERE workspace = $1 AND run = $2
                 UNION ALL
                SELECT series, start_index, start_index + point_count
                  FROM metrics.sealed_chunk
                  JOIN metrics.sealed_object USING (workspace, run, generation)
                 WHERE workspace = $1 AND run = $2 AND state = 'current'
                 UNION ALL
                SELECT series, point_count, point_count
                  FROM metrics.series
                 WHERE workspace = $1 AND run = $2
            ), ordered AS (
                SELECT series, start_index,
                       coalesce(max(beyond) OVER (PARTITION BY series ORDER BY start_index, beyond
                                                  ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0) AS before
                  FROM known
            )
            SELECT metric, before AS start_index, start_index AS end_index
              FROM ordered
              JOIN metrics.series USING (series)
             WHERE start_index > before AND workspace = $1 AND run = $2
             ORDER BY metric, before
            """,
            run.workspace,
            run.run,
        )
        return [_place(row) for row in rows]

    async def hot_chunks(self, run: RunName, after: tuple[int, int]) -> Sequence[HotChunk]:
        """The chunks in Postgres after a series and index, in that order, some MiB of them."""
        rows = await self._postgres.fetch(
            """
            SELECT metric, series, start_index, start_index + point_count AS end_index, columns, checksum, overview
              FROM (SELECT *, sum(octet_length(columns)) OVER (ORDER BY series, start_index)
                              - octet_length(columns) AS before
                      FROM (SELECT series, start_index, point_count, columns, checksum, overview
                              FROM metrics.chunk
                             WHERE workspace = $1 AND run = $2 AND (series, start_index) > ($3, $4)
                             ORDER BY series, start_index
                             LIMIT $5) page) sized
              JOIN (SELECT series, metric FROM metrics.series WHERE workspace = $1 AND run = $2) named USING (series)
             WHERE before < $6
             ORDER BY series, start_index
            """,
            run.workspace,
            run.run,
            *after,
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [HotChunk(_place(row), row["series"], row["columns"], row["checksum"], row["overview"]) for row in rows]

    async def sealed_places(self, stored: SealedObject, group: int | None) -> Sequence[Place]:
        """Which values lie in a row group of an object; None: in all of it."""
        rows = await self._postgres.fetch(
            """
            SELECT metric, start_index, start_index + chunk.point_count AS end_index
              FROM metrics.sealed_chunk AS chunk
              JOIN metrics.series USING (workspace, run, series)
             WHERE workspace = $1 AND run = $2 AND generation = $3 AND ($4::integer IS NULL OR row_group = $4)
             ORDER BY metric, start_index
            """,
            stored.run.workspace,
            stored.run.run,
            stored.generation,
            group,
        )
        return [_place(row) for row in rows]


def _place(row: Record) -> Place:
    return Place(row["metric"], row["start_index"], row["end_index"])
