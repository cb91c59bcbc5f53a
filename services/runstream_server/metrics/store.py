"""Reads series and their chunks. Rows do not leave this module."""

from collections.abc import AsyncGenerator, Mapping, Sequence

from asyncpg import Record

from runstream_server.envelope import checked
from runstream_server.metrics.model import Series, SeriesKind, SeriesPage, Span, StoredChunk, span_columns
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_PAGE_SERIES = 1_000
_PAGE_CHUNKS = 1_000
_PAGE_BYTES = 8 * 1024 * 1024
_SERIES_BYTES = 4 * 1024 * 1024


def page_statement(selection: str, count: str) -> str:
    """The statement for a page of what `selection` selects of `metrics.series`; the parameter `count` is how many.

    One series more tells whether there are more.
    """
    return f"""
    SELECT *
      FROM (SELECT page.*, sum(text_bytes) OVER (ORDER BY run, metric ROWS UNBOUNDED PRECEDING) AS bytes
              FROM (SELECT workspace, run, metric, series, point_count, last, min, max, description, revision, kind,
                           columns,
                           octet_length(description) + CASE columns WHEN '{{}}' THEN 0
                               ELSE octet_length(array_to_string(columns, '')) END AS text_bytes
                      {selection}
                     ORDER BY run, metric
                     LIMIT {count} + 1) page) sized
     WHERE bytes - text_bytes < {_SERIES_BYTES}
     ORDER BY run, metric
    """


_LIST = page_statement(
    """
    FROM metrics.series
   WHERE workspace = $1 AND run = ANY($2::text[]) AND (run, metric) > ($4, $5)
     AND (metric = ANY($3::text[]) OR $3 = '{}'::text[])
    """,
    count="$6::bigint",
)


def page_of_series(rows: Sequence[Record], count: int) -> SeriesPage:
    """The first `count` series of the rows of such a statement."""
    has_more = len(rows) > count or (bool(rows) and rows[-1]["bytes"] >= _SERIES_BYTES)
    return SeriesPage([series_of(row) for row in rows[:count]], has_more)


class MetricStore:
    """Series and their chunks, as readers see them."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def list_series(
        self, workspace: str, runs: Sequence[str], metrics: Sequence[str], after: tuple[str, str], count: int
    ) -> SeriesPage:
        """Returns up to `count` series of runs, in order of run and metric; no metrics: all of them.

        A page ends before with the series whose texts take it past 4 MiB. `after` is the run and the metric of the last
        series that is not wanted again.
        """
        rows = await self._postgres.fetch(_LIST, workspace, runs, metrics, *after, count)
        return page_of_series(rows, count)

    async def all_series(
        self, workspace: str, runs: Sequence[str], metrics: Sequence[str]
    ) -> AsyncGenerator[Sequence[Series], None]:
        """Yields all series of runs, page by page, in order of run and metric; no metrics: all of them."""
        after, more = ("", ""), True
        while more:
            page = await self.list_series(workspace, runs, metrics, after, _PAGE_SERIES)
            yield page.series
            after, more = (page.last, True) if page.has_more else (after, False)

    async def first_times(self, workspace: str, runs: Sequence[str]) -> Mapping[str, int]:
        """When the earliest value of each run was logged, in microseconds since the Unix epoch, UTC.

        Series whose first values are from before this was kept do not count.
        """
        rows = await self._postgres.fetch(
            """
            SELECT run, min(first_time) AS first_time
              FROM metrics.series
             WHERE workspace = $1 AND run = ANY($2::text[]) AND first_time IS NOT NULL
             GROUP BY run
            """,
            workspace,
            runs,
        )
        return {row["run"]: row["first_time"] for row in rows}

    async def read_long(self, span: Span) -> Sequence[StoredChunk]:
        """Returns the first chunks of a span, in order, some MiB of them."""
        series = span.series
        rows = await self._postgres.fetch(
            """
            SELECT start_index, point_count, columns, checksum
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY start_index) - size_bytes AS before
                      FROM (SELECT start_index, point_count, size_bytes, columns, checksum
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
            SELECT place, start_index, point_count, columns, checksum
              FROM (SELECT *, sum(size_bytes) OVER (ORDER BY place, start_index) - size_bytes AS before
                      FROM (SELECT place, start_index, point_count, size_bytes, columns, checksum
                              FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[])
                                   WITH ORDINALITY AS wanted (run, series, first, beyond, place)
                              JOIN metrics.chunk USING (run, series)
                             WHERE workspace = $1 AND start_index < beyond AND start_index + point_count > first
                             ORDER BY place, start_index
                             LIMIT $6) page) sized
             WHERE before < $7
             ORDER BY place, start_index
            """,
            *span_columns(spans),
            _PAGE_CHUNKS,
            _PAGE_BYTES,
        )
        return [_stored_chunk(spans[row["place"] - 1], row) for row in rows]


def _stored_chunk(span: Span, row: Record) -> StoredChunk:
    data = checked(row["columns"], row["checksum"], "a chunk of values")
    return StoredChunk(span.series, row["start_index"], row["point_count"], data, span.start_index, span.end_index)


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
        kind=SeriesKind(row["kind"]),
        columns=row["columns"],
    )
