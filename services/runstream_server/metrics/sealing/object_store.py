"""Which objects there are of sealed runs, and where in them each value lies. Rows do not leave this module."""

from collections.abc import Sequence
from datetime import timedelta

from asyncpg import Record

from runstream_server.metrics.maintenance.compaction_store import rewrite_lock
from runstream_server.metrics.model import Span, span_columns
from runstream_server.metrics.sealing.model import ByteRange, SealedChunk, SealedObject, SealTask
from runstream_server.metrics.sealing.task_store import LEASE
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_DELETED_CHUNKS = 1_000
_PAGE_CHUNKS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024


class _LostError(Exception):
    """Somebody else is at it, or what was written was taken for abandoned."""


class SealedObjectStore:
    """Objects and their chunks, from the intention to write one to its removal."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def begin(self, run: RunName) -> int:
        """Notes down that an object is going to be written, so that it is found if its writer dies; its generation."""
        return int(
            await self._postgres.fetchval(
                """
                INSERT INTO metrics.sealed_object (workspace, run, expire_time) VALUES ($1, $2, now() + $3)
                RETURNING generation
                """,
                run.workspace,
                run.run,
                LEASE,
            )
        )

    async def add_chunks(self, run: RunName, generation: int, chunks: Sequence[SealedChunk]) -> None:
        """Says where values are going to be; nobody reads it before `swap`."""
        async with self._postgres.transaction() as connection:
            await connection.copy_records_to_table(
                "sealed_chunk",
                schema_name="metrics",
                columns=(
                    "workspace",
                    "run",
                    "generation",
                    "series",
                    "start_index",
                    "point_count",
                    "size_bytes",
                    "row_group",
                    "first_row",
                    "overview",
                ),
                records=[
                    (
                        run.workspace,
                        run.run,
                        generation,
                        chunk.series,
                        chunk.start_index,
                        chunk.count,
                        chunk.size_bytes,
                        chunk.row_group,
                        chunk.first_row,
                        chunk.overview,
                    )
                    for chunk in chunks
                ],
            )

    async def swap(self, task: SealTask, stored: SealedObject, grace_seconds: float) -> bool:
        """Makes an object the one that is read. False, nothing being changed, if the claim was lost meanwhile."""
        try:
            await self._swap(task, stored, grace_seconds)
        except _LostError:
            return False
        return True

    async def _swap(self, task: SealTask, stored: SealedObject, grace_seconds: float) -> None:
        run = stored.run
        async with self._postgres.transaction() as connection:
            if not await connection.fetchval(
                """
                SELECT true FROM metrics.seal_task WHERE workspace = $1 AND run = $2 AND claim = $3 FOR UPDATE
                """,
                run.workspace,
                run.run,
                task.claim,
            ):
                raise _LostError
            await connection.execute(
                """
                UPDATE metrics.sealed_object
                   SET state = 'replaced', expire_time = now() + $3
                 WHERE workspace = $1 AND run = $2 AND state = 'current'
                """,
                run.workspace,
                run.run,
                timedelta(seconds=grace_seconds),
            )
            status = await connection.execute(
                """
                UPDATE metrics.sealed_object
                   SET state = 'current', expire_time = 'infinity', size_bytes = $4, footer_bytes = $5,
                       footer_crc = $6, group_starts = $7, group_bytes = $8, group_crcs = $9
                 WHERE workspace = $1 AND run = $2 AND generation = $3 AND state = 'written'
                """,
                run.workspace,
                run.run,
                stored.generation,
                stored.size_bytes,
                stored.footer.length,
                stored.footer.crc,
                [group.start for group in stored.groups],
                [group.length for group in stored.groups],
                [group.crc for group in stored.groups],
            )
            if status != "UPDATE 1":
                raise _LostError

    async def current(self, run: RunName) -> SealedObject | None:
        """The object that is read; None if the run was never sealed."""
        return await self.object(run, None)

    async def object(self, run: RunName, generation: int | None) -> SealedObject | None:
        """An object that is read, or was until a moment ago; None if it is gone. No generation: the current one."""
        row = await self._postgres.fetchrow(
            """
            SELECT workspace, run, generation, size_bytes, footer_bytes, footer_crc, group_starts, group_bytes,
                   group_crcs
              FROM metrics.sealed_object
             WHERE workspace = $1 AND run = $2
               AND (state = 'current' AND $3::bigint IS NULL OR generation = $3 AND state IN ('current', 'replaced'))
            """,
            run.workspace,
            run.run,
            generation,
        )
        return _object(row) if row else None

    async def unsealed_count(self, run: RunName) -> int:
        """How many values of a run are not in its object."""
        return int(
            await self._postgres.fetchval(
                """
                SELECT coalesce((SELECT sum(point_count) FROM metrics.series WHERE workspace = $1 AND run = $2), 0)
                     - coalesce((SELECT sum(point_count)
                                   FROM metrics.sealed_chunk
                                   JOIN metrics.sealed_object USING (workspace, run, generation)
                                  WHERE workspace = $1 AND run = $2 AND state = 'current'), 0)
                """,
                run.workspace,
                run.run,
            )
        )

    async def delete_sealed_chunks(self, run: RunName) -> bool:
        """Removes some chunks from Postgres whose values are in the object of the run; False if there are no more."""
        async with self._postgres.transaction() as connection:
            await rewrite_lock(connection, run)
            status = await connection.execute(
                """
                WITH sealed AS (
                    SELECT series, max(start_index + point_count) AS beyond
                      FROM metrics.sealed_chunk
                      JOIN metrics.sealed_object USING (workspace, run, generation)
                     WHERE workspace = $1 AND run = $2 AND state = 'current'
                     GROUP BY series
                ), doomed AS (
                    SELECT series, start_index
                      FROM metrics.chunk
                      JOIN sealed USING (series)
                     WHERE workspace = $1 AND run = $2 AND start_index + point_count <= beyond
                     LIMIT $3
                )
                DELETE FROM metrics.chunk
                 USING doomed
                 WHERE chunk.workspace = $1 AND chunk.run = $2
                   AND (chunk.series, chunk.start_index) = (doomed.series, doomed.start_index)
                """,
                run.workspace,
                run.run,
                _DELETED_CHUNKS,
            )
        return status == f"DELETE {_DELETED_CHUNKS}"

    async def read_chunks(self, spans: Sequence[Span]) -> Sequence[tuple[int, int, SealedChunk]]:
        """The first sealed chunks of spans, in order, some MiB of them: place of the span, generation and chunk."""
        rows = await self._postgres.fetch(
            """
            SELECT place, generation, series, start_index, point_count, size_bytes, row_group, first_row
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY place, start_index) - size_bytes AS before
                      FROM (SELECT place, generation, series, start_index, point_count, chunk.size_bytes, row_group,
                                   first_row
                              FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                                   WITH ORDINALITY AS wanted (run, series, first, beyond, place)
                              JOIN metrics.sealed_object AS object USING (run)
                              JOIN metrics.sealed_chunk AS chunk USING (workspace, run, generation, series)
                             WHERE workspace = $1 AND state = 'current'
                               AND start_index < beyond AND start_index + point_count > first
                             ORDER BY place, start_index
                             LIMIT $6) page) sized
             WHERE before < $7
             ORDER BY place, start_index
            """,
            *span_columns(spans),
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [(row["place"] - 1, row["generation"], _chunk(row)) for row in rows]

    async def claim_expired(self) -> tuple[RunName, int] | None:
        """Takes an object that nobody needs any more: from now on it never becomes the one that is read."""
        row = await self._postgres.fetchrow(
            """
            UPDATE metrics.sealed_object
               SET state = 'removed', expire_time = now() + $1
             WHERE (workspace, run, generation) = (SELECT workspace, run, generation
                                                     FROM metrics.sealed_object
                                                    WHERE expire_time <= now() AND state <> 'current'
                                                    ORDER BY expire_time
                                                    LIMIT 1
                                                      FOR UPDATE SKIP LOCKED)
            RETURNING workspace, run, generation
            """,
            LEASE,
        )
        return (RunName(row["workspace"], row["run"]), row["generation"]) if row else None

    async def expire(self, run: RunName, generation: int) -> None:
        """Says that an object is given up before it was ever read."""
        await self._postgres.execute(
            """
            UPDATE metrics.sealed_object
               SET expire_time = now()
             WHERE workspace = $1 AND run = $2 AND generation = $3 AND state = 'written'
            """,
            run.workspace,
            run.run,
            generation,
        )

    async def forget(self, run: RunName, generation: int) -> None:
        """Removes what is known of an object that is gone."""
        async with self._postgres.transaction() as connection:
            for table in ("sealed_chunk", "sealed_object"):
                await connection.execute(
                    f"DELETE FROM metrics.{table} WHERE workspace = $1 AND run = $2 AND generation = $3",
                    run.workspace,
                    run.run,
                    generation,
                )


def _object(row: Record) -> SealedObject:
    footer_bytes, size_bytes = row["footer_bytes"], row["size_bytes"]
    groups = zip(row["group_starts"], row["group_bytes"], row["group_crcs"], strict=True)
    return SealedObject(
        RunName(row["workspace"], row["run"]),
        row["generation"],
        size_bytes,
        ByteRange(size_bytes - footer_bytes, footer_bytes, row["footer_crc"]),
        [ByteRange(*group) for group in groups],
    )


def _chunk(row: Record) -> SealedChunk:
    return SealedChunk(
        row["series"],
        row["start_index"],
        row["point_count"],
        row["size_bytes"],
        row["row_group"],
        row["first_row"],
        None,
    )
