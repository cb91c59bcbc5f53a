"""Reads and writes the schema `metrics`. Rows do not leave this module."""

import asyncio
from collections.abc import Callable, Iterator, Mapping, Sequence

import asyncpg
from asyncpg import Record

from runstream_server.appendstreams import AppendKey, Committed, Opening, Outcome, Position, Refusal, judge
from runstream_server.metrics.errors import SequenceGap
from runstream_server.metrics.grouping import SeriesGrowth, group_by_series
from runstream_server.metrics.model import MetricAppend, Series, Span, StoredChunk
from runstream_server.metrics.refusals import refusal
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres

_GROUPED_ON_THE_LOOP_PIECES = 500
_PAGE_CHUNKS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024
_REFUSED_BY_DATABASE = (
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)


class MetricStore:
    """Series, their chunks and the positions of their writers."""

    def __init__(self, postgres: Postgres, stored: Callable[[Sequence[SeriesGrowth]], None]) -> None:
        """`stored` is told what was committed."""
        self._postgres = postgres
        self._stored = stored

    async def open_writer(self, key: AppendKey, believed: int, digest: bytes) -> Opening | None:
        """Counts up the epoch of a writer, made if it is new, unless what the client believes contradicts its row."""
        row = await self._postgres.fetchrow(
            """
            INSERT INTO metrics.writer AS known (workspace, run, writer)
            VALUES ($1, $2, $3)
            ON CONFLICT (workspace, run, writer) DO UPDATE
               SET epoch = known.epoch + 1
             WHERE known.position > $4
                OR (known.position = $4 AND ($5 = ''::bytea OR known.digest = ''::bytea OR known.digest = $5))
            RETURNING position, epoch
            """,
            key.workspace,
            key.run,
            key.name,
            believed,
            digest,
        )
        return Opening(key, row["epoch"], row["position"]) if row else None

    async def position(self, key: AppendKey) -> int:
        """The sequence of the last durable batch of a writer; 0 if there is none."""
        position = await self._postgres.fetchval(
            "SELECT position FROM metrics.writer WHERE workspace = $1 AND run = $2 AND writer = $3",
            key.workspace,
            key.run,
            key.name,
        )
        return position or 0

    async def commit(self, appends: Sequence[MetricAppend]) -> Sequence[Outcome]:
        """Stores what is new of a group and moves its writers, in one transaction; says what became of each append."""
        growths = await self._grouped(appends)
        async with self._postgres.transaction() as connection:
            positions = await _lock_writers(connection, appends)
            outcomes, new = judge(appends, positions, SequenceGap)
            if len(new) != len(appends):
                growths = group_by_series(new)
            await _grow(connection, growths)
            await _move_writers(connection, new)
        self._stored(growths)
        return outcomes

    async def _grouped(self, appends: Sequence[MetricAppend]) -> Sequence[SeriesGrowth]:
        """What the appends do to each series, if all of them are new; many are encoded in a thread."""
        if sum(len(append.payload.pieces) for append in appends if append.payload) <= _GROUPED_ON_THE_LOOP_PIECES:
            return group_by_series(appends)
        return await asyncio.to_thread(group_by_series, appends)

    async def commit_one_by_one(self, append: MetricAppend) -> Outcome:
        """Stores what the database takes of an append that it refused as a whole: series by series."""
        refusals: list[Refusal] = []
        async with self._postgres.transaction() as connection:
            positions = await _lock_writers(connection, [append])
            (outcome,), new = judge([append], positions, SequenceGap)
            for growth in group_by_series(new):
                try:
                    async with connection.transaction():
                        await _grow(connection, [growth])
                except _REFUSED_BY_DATABASE as error:
                    problem = "UNSTORABLE", f"the database refuses it: {error}"
                    refusals.append(refusal(append.end, growth.metric, problem, growth.summary.count))
            await _move_writers(connection, new)
        if isinstance(outcome, Committed):
            return Committed(outcome.durable, [*outcome.refusals, *refusals])
        return outcome

    async def list_series(
        self, workspace: str, runs: Sequence[str], metrics: Sequence[str], after: tuple[str, str], count: int
    ) -> Sequence[Series]:
        """Returns up to `count` series of runs, in order of run and metric; no metrics: all of them.

        `after` is the run and the metric of the last series that is not wanted again.
        """
        rows = await self._postgres.fetch(
            """
            SELECT workspace, run, metric, series, point_count, last, min, max, description, revision
              FROM metrics.series
             WHERE workspace = $1 AND run = ANY($2::text[]) AND (run, metric) > ($4, $5)
               AND (metric = ANY($3::text[]) OR $3 = '{}'::text[])
             ORDER BY run, metric
             LIMIT $6
            """,
            workspace,
            runs,
            metrics,
            *after,
            count,
        )
        return [series_of(row) for row in rows]

    async def read_long(self, span: Span) -> Sequence[StoredChunk]:
        """Returns the first chunks of a span, in order, some MiB of them."""
        series = span.series
        rows = await self._postgres.fetch(
            """
            SELECT start_index, point_count, columns
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY start_index) - size_bytes AS before
                      FROM (SELECT start_index, point_count, size_bytes, columns
                              FROM metrics.chunk
                             WHERE workspace = $1 AND run = $2 AND series = $3 AND start_index < $5
                               AND start_index >= (SELECT max(start_index)
                                                     FROM metrics.chunk
                                                    WHERE workspace = $1 AND run = $2 AND series = $3
                                                      AND start_index <= $4)
                             ORDER BY start_index
                             LIMIT $6) page) sized
             WHERE before < $7
             ORDER BY start_index
            """,
            series.run.workspace,
            series.run.run,
            series.number,
            span.start_index,
            span.end_index,
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [_stored_chunk(span, row) for row in rows]

    async def read_short(self, spans: Sequence[Span]) -> Sequence[StoredChunk]:
        """Returns the first chunks of spans that have few points each, in order, some MiB of them."""
        rows = await self._postgres.fetch(
            """
            SELECT place, start_index, point_count, columns
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY place, start_index) - size_bytes AS before
                      FROM (SELECT place, start_index, point_count, size_bytes, columns
                              FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                                   WITH ORDINALITY AS wanted (run, series, first, beyond, place)
                              JOIN metrics.chunk USING (run, series)
                             WHERE workspace = $1 AND start_index < beyond AND start_index + point_count > first
                             ORDER BY place, start_index
                             LIMIT $6) page) sized
             WHERE before < $7
             ORDER BY place, start_index
            """,
            spans[0].series.run.workspace,
            [span.series.run.run for span in spans],
            [span.series.number for span in spans],
            [span.start_index for span in spans],
            [span.end_index for span in spans],
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [_stored_chunk(spans[row["place"] - 1], row) for row in rows]


def _stored_chunk(span: Span, row: Record) -> StoredChunk:
    return StoredChunk(
        span.series, row["start_index"], row["point_count"], row["columns"], span.start_index, span.end_index
    )


async def _lock_writers(connection: Connection, appends: Sequence[MetricAppend]) -> Mapping[AppendKey, Position]:
    """Locks the rows of the writers, in the order that all transactions keep."""
    keys = sorted({append.key for append in appends})
    rows = await connection.fetch(
        """
        SELECT workspace, run, writer, position, epoch
          FROM metrics.writer
          JOIN unnest($1::text[], $2::text[], $3::text[]) AS key (workspace, run, writer) USING (workspace, run, writer)
         ORDER BY workspace, run, writer
           FOR UPDATE OF writer
        """,
        [key.workspace for key in keys],
        [key.run for key in keys],
        [key.name for key in keys],
    )
    return {
        AppendKey(row["workspace"], row["run"], row["writer"]): Position(row["position"], row["epoch"]) for row in rows
    }


async def _grow(connection: Connection, growths: Sequence[SeriesGrowth]) -> None:
    """Appends to series, sorted, whose indexes it hands out under the locks of their rows; marks their summaries."""
    if not growths:
        return
    counts = await _grow_series(connection, growths)
    await connection.copy_records_to_table(
        "chunk",
        schema_name="metrics",
        columns=("workspace", "run", "series", "start_index", "point_count", "size_bytes", "columns", "overview"),
        records=_chunk_rows(growths, counts),
    )
    await connection.execute(
        "INSERT INTO metrics.summary_outbox (workspaces, runs, metrics, series_count) VALUES ($1, $2, $3, $4)",
        [growth.workspace for growth in growths],
        [growth.run for growth in growths],
        [growth.metric for growth in growths],
        len(growths),
    )


async def _grow_series(connection: Connection, growths: Sequence[SeriesGrowth]) -> Mapping[object, tuple[int, int]]:
    """Returns the number and the new count of each series, by workspace, run and metric."""
    rows = await connection.fetch(
        """
        INSERT INTO metrics.series AS known
               (workspace, run, metric, point_count, last, min, max, kinds, description, revision)
        SELECT workspace, run, metric, point_count, last, min, max, kinds, description, 1
          FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[], $6::float8[], $7::float8[],
                      $8::integer[], $9::text[])
               WITH ORDINALITY
               AS growth (workspace, run, metric, point_count, last, min, max, kinds, description, place)
         ORDER BY place
        ON CONFLICT (workspace, run, metric) DO UPDATE
           SET point_count = known.point_count + excluded.point_count,
               last        = coalesce(excluded.last, known.last),
               min         = least(known.min, excluded.min),
               max         = greatest(known.max, excluded.max),
               kinds       = known.kinds | excluded.kinds,
               description = CASE known.description WHEN '' THEN excluded.description ELSE known.description END,
               revision    = known.revision + 1
        RETURNING workspace, run, metric, series, point_count
        """,
        [growth.workspace for growth in growths],
        [growth.run for growth in growths],
        [growth.metric for growth in growths],
        [growth.summary.count for growth in growths],
        [growth.summary.last for growth in growths],
        [growth.summary.min for growth in growths],
        [growth.summary.max for growth in growths],
        [growth.summary.kinds for growth in growths],
        [growth.description for growth in growths],
    )
    return {(row["workspace"], row["run"], row["metric"]): (row["series"], row["point_count"]) for row in rows}


def _chunk_rows(
    growths: Sequence[SeriesGrowth], counts: Mapping[object, tuple[int, int]]
) -> Iterator[tuple[str, str, int, int, int, int, bytes, bytes | None]]:
    for growth in growths:
        number, count = counts[growth.workspace, growth.run, growth.metric]
        index = count - growth.summary.count
        for chunk in growth.chunks:
            count = chunk.summary.count
            yield growth.workspace, growth.run, number, index, count, chunk.size_bytes, chunk.data, chunk.overview
            index += count


async def _move_writers(connection: Connection, appends: Sequence[MetricAppend]) -> None:
    """Moves the positions of writers to the ends of their last appends."""
    if not appends:
        return
    last = {append.key: append for append in appends}
    digests = {append.key: append.payload.digest for append in appends if append.payload is not None}
    finished = {append.key for append in appends if append.payload is None}
    await connection.execute(
        """
        UPDATE metrics.writer AS known
           SET position = moved.position,
               digest   = coalesce(moved.digest, known.digest),
               finished = known.finished OR moved.finished,
               hot      = known.hot OR moved.position <> known.position
          FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::bytea[], $6::boolean[])
               AS moved (workspace, run, writer, position, digest, finished)
         WHERE (known.workspace, known.run, known.writer) = (moved.workspace, moved.run, moved.writer)
        """,
        [key.workspace for key in last],
        [key.run for key in last],
        [key.name for key in last],
        [append.end for append in last.values()],
        [digests.get(key) for key in last],
        [key in finished for key in last],
    )


def series_of(row: Record) -> Series:
    """The series of a row of `metrics.series`."""
    return Series(
        run=RunName(row["workspace"], row["run"]),
        metric=row["metric"],
        number=row["series"],
        count=row["point_count"],
        last=row["last"],
        min=row["min"],
        max=row["max"],
        description=row["description"],
        revision=row["revision"],
    )
