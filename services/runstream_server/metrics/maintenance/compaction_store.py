"""Reads and replaces chunks that are to be merged. Rows do not leave this module."""

from collections.abc import Sequence

from asyncpg import Record

from runstream_server.envelope import StoredBytesDamaged, checked, checksum_of
from runstream_server.metrics.growing import CHUNK_COLUMNS
from runstream_server.metrics.maintenance.fragments import SMALL_BYTES, SMALL_POINTS
from runstream_server.metrics.maintenance.merging import Extent, Merge, Merged
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres

_SERIES_CHUNKS = 512


class _ChunksChangedError(Exception):
    """Chunks that were read are no longer there."""


class CompactionStore:
    """The small chunks at the ends of series."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def small_chunks(self, run: RunName, metrics: Sequence[str]) -> Sequence[Extent]:
        """The first 512 chunks of each series after its last large one, sorted by series and index."""
        rows = await self._postgres.fetch(
            """
            SELECT small.series, small.start_index, small.point_count, small.size_bytes
              FROM metrics.series
             CROSS JOIN LATERAL (
                   SELECT series, start_index, point_count, size_bytes
                     FROM metrics.chunk
                    WHERE workspace = $1 AND run = $2 AND chunk.series = series.series
                      AND start_index > coalesce((SELECT max(start_index)
                                                    FROM metrics.chunk
                                                   WHERE workspace = $1 AND run = $2 AND chunk.series = series.series
                                                     AND (point_count >= $4 OR size_bytes >= $5)), -1)
                    ORDER BY start_index
                    LIMIT $6) small
             WHERE workspace = $1 AND run = $2 AND metric = ANY($3::text[])
             ORDER BY small.series, small.start_index
            """,
            run.workspace,
            run.run,
            metrics,
            SMALL_POINTS,
            SMALL_BYTES,
            _SERIES_CHUNKS,
        )
        return [Extent(row["series"], row["start_index"], row["point_count"], row["size_bytes"]) for row in rows]

    async def contents(self, run: RunName, merges: Sequence[Merge]) -> Sequence[tuple[Merge, Sequence[bytes]]]:
        """The bytes of the chunks of each merge, none of one that is another's; leaves out a merge with one gone."""
        extents = [extent for merge in merges for extent in merge.extents]
        rows = await self._postgres.fetch(
            """
            SELECT series, start_index, columns, checksum
              FROM unnest($3::bigint[], $4::bigint[], $5::integer[]) AS wanted (series, start_index, point_count)
              JOIN metrics.chunk USING (series, start_index, point_count)
             WHERE workspace = $1 AND run = $2
            """,
            run.workspace,
            run.run,
            *_columns(extents),
        )
        found = {(row["series"], row["start_index"]): _own_columns(row) for row in rows}
        contents = [(merge, [found.get((e.series, e.start_index)) for e in merge.extents]) for merge in merges]
        return [
            (merge, [data for data in of_merge if data is not None])
            for merge, of_merge in contents
            if None not in of_merge
        ]

    async def replace(self, run: RunName, merged: Sequence[Merged]) -> bool:
        """Replaces chunks by the merged ones, all or none.

        Returns False, nothing being changed, if somebody else rewrites the run or has changed one of the chunks.
        """
        try:
            async with self._postgres.transaction() as connection:
                await connection.execute("SET LOCAL synchronous_commit = off")  # losing it as a whole harms nobody
                if not await try_rewrite_lock(connection, run):
                    return False
                await _delete(connection, run, [extent for each in merged for extent in each.merge.extents])
                await _insert(connection, run, merged)
        except _ChunksChangedError:
            return False
        return True


async def try_rewrite_lock(connection: Connection, run: RunName) -> bool:
    """Becomes the only one that rewrites chunks of a run until the transaction ends, unless somebody else does so."""
    acquired: bool = await connection.fetchval(
        "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))", f"runstream.metrics.rewrite/{run}"
    )
    return acquired


async def rewrite_lock(connection: Connection, run: RunName) -> None:
    """Becomes the only one that rewrites chunks of a run until the transaction ends, having waited for others."""
    await connection.execute(
        "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"runstream.metrics.rewrite/{run}"
    )


async def _delete(connection: Connection, run: RunName, extents: Sequence[Extent]) -> None:
    status = await connection.execute(
        """
        DELETE FROM metrics.chunk
         USING unnest($3::bigint[], $4::bigint[], $5::integer[]) AS old (series, start_index, point_count)
         WHERE workspace = $1 AND run = $2
           AND (chunk.series, chunk.start_index, chunk.point_count) = (old.series, old.start_index, old.point_count)
        """,
        run.workspace,
        run.run,
        *_columns(extents),
    )
    if status != f"DELETE {len(extents)}":
        raise _ChunksChangedError


async def _insert(connection: Connection, run: RunName, merged: Sequence[Merged]) -> None:
    await connection.copy_records_to_table(
        "chunk",
        schema_name="metrics",
        columns=CHUNK_COLUMNS,
        records=[
            (
                run.workspace,
                run.run,
                each.merge.extents[0].series,
                each.merge.extents[0].start_index,
                each.chunk.summary.count,
                each.chunk.size_bytes,
                each.chunk.data,
                each.chunk.overview,
                checksum_of(each.chunk.data),
            )
            for each in merged
        ],
    )


def _own_columns(row: Record) -> bytes:
    try:
        return checked(row["columns"], row["checksum"], "a chunk")
    except StoredBytesDamaged:
        return b""


def _columns(extents: Sequence[Extent]) -> tuple[list[int], list[int], list[int]]:
    return (
        [extent.series for extent in extents],
        [extent.start_index for extent in extents],
        [extent.count for extent in extents],
    )
