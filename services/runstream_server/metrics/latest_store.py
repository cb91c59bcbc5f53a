"""Reads and remembers the latest numbers of series. Rows do not leave this module."""

from bisect import bisect_left
from collections.abc import AsyncGenerator, Sequence

from asyncpg import Record

from runstream_server.metrics.latest import NUMBERS, Latest, LatestOfSeries
from runstream_server.metrics.model import Series, SeriesKind
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_PAGE_SERIES = 1_000
_NUMBERS = sum(1 << kind for kind in NUMBERS)

# Each series of the page is looked up by itself: a join might read what is remembered of the whole workspace.
PAGE = """
WITH page AS MATERIALIZED (
    SELECT workspace, run, metric, series, point_count
      FROM metrics.series
     WHERE workspace = $1 AND run = ANY($2::text[]) AND (run, metric) > ($4, $5)
       AND (metric = ANY($3::text[]) OR $3 = '{}'::text[])
       AND kinds & $6::integer <> 0
     ORDER BY run, metric
     LIMIT $7
)
SELECT run, metric, page.series, page.point_count, coalesce(known.point_count, 0) AS known_count, step, time, value
  FROM page
  LEFT JOIN LATERAL (
      SELECT point_count, step, time, value
        FROM metrics.latest_value AS remembered
       WHERE remembered.workspace = page.workspace AND remembered.run = page.run
         AND remembered.series = page.series
      OFFSET 0
  ) AS known ON true
 ORDER BY run, metric
"""


class LatestStore:
    """What is known of the latest numbers of series."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def known(
        self, workspace: str, runs: Sequence[str], metrics: Sequence[str]
    ) -> AsyncGenerator[Sequence[LatestOfSeries], None]:
        """Yields what is remembered of the series of sorted runs that have numbers, up to 1,000 at a time.

        In order of run and metric; no metrics: all of them.
        """
        after: tuple[str, str] | None = ("", "")
        while after is not None:
            page = await self._page(workspace, runs[bisect_left(runs, after[0]) :], metrics, after)
            yield page
            last = page[-1].series if len(page) == _PAGE_SERIES else None
            after = (last.run.run, last.metric) if last else None

    async def _page(
        self, workspace: str, runs: Sequence[str], metrics: Sequence[str], after: tuple[str, str]
    ) -> Sequence[LatestOfSeries]:
        rows = await self._postgres.fetch(
            PAGE,
            workspace,
            runs,
            metrics,
            *after,
            _NUMBERS,
            _PAGE_SERIES,
        )
        names = {run: RunName(workspace, run) for run in runs}
        return [_known(names[row["run"]], row) for row in rows]

    async def remember(self, workspace: str, found: Sequence[LatestOfSeries]) -> None:
        """Keeps what was found out of series of a workspace, unless more is known already. May be lost in a crash."""
        kept = [(each.series, each.known_count, each.latest) for each in found if each.latest is not None]
        if not kept:
            return
        async with self._postgres.transaction() as connection:
            await connection.execute("SET LOCAL synchronous_commit = off")
            await connection.execute(
                """
                INSERT INTO metrics.latest_value AS known (workspace, run, series, point_count, step, time, value)
                SELECT $1, * FROM unnest($2::text[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                                         $7::float8[]) AS found (run, series)
                 ORDER BY run COLLATE "C", series
                ON CONFLICT (workspace, run, series) DO UPDATE
                   SET point_count = excluded.point_count,
                       step        = excluded.step,
                       time        = excluded.time,
                       value       = excluded.value
                 WHERE known.point_count < excluded.point_count
                """,
                workspace,
                [series.run.run for series, _, _ in kept],
                [series.number for series, _, _ in kept],
                [count for _, count, _ in kept],
                [latest.step for _, _, latest in kept],
                [latest.time for _, _, latest in kept],
                [latest.value for _, _, latest in kept],
            )


def _known(run: RunName, row: Record) -> LatestOfSeries:
    series = Series(
        run=run,
        metric=row["metric"],
        number=row["series"],
        count=row["point_count"],
        last=None,
        min=None,
        max=None,
        description="",
        revision=0,
        kind=SeriesKind.VALUES,
        columns=(),
    )
    count = row["known_count"]
    return LatestOfSeries(series, count, Latest(row["step"], row["time"], row["value"]) if count else None)
