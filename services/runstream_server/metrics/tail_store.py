"""Reads what tails ask of series. Rows do not leave this module."""

from collections.abc import Mapping, Sequence

from runstream_server.metrics.model import SeriesPage
from runstream_server.metrics.store import page_of_series, page_statement
from runstream_server.names import RunName
from runstream_server.postgres import Postgres

_GROWN = page_statement(
    """
    FROM metrics.series
    LEFT JOIN unnest($6::bigint[], $7::bigint[]) AS seen (series, seen_count) USING (series)
   WHERE workspace = $1 AND run = ANY($2::text[]) AND (run, metric) > ($4, $5)
     AND (metric = ANY($3::text[]) OR $3 = '{}'::text[])
     AND seen_count IS DISTINCT FROM point_count
    """,
    count="$8::bigint",
)


class TailStore:
    """Which series grew."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def position_beyond_end(
        self, workspace: str, positions: Mapping[tuple[str, str], int]
    ) -> tuple[RunName, str] | None:
        """The run and metric of one of the positions, by run and metric, that is beyond the end of its series."""
        row = await self._postgres.fetchrow(
            """
            SELECT run, metric
              FROM unnest($2::text[], $3::text[], $4::bigint[]) AS place (run, metric, next_index)
              LEFT JOIN LATERAL (
                   SELECT point_count FROM metrics.series known
                    WHERE known.workspace = $1 AND known.run = place.run AND known.metric = place.metric
                    LIMIT 1) known ON true
             WHERE next_index > coalesce(point_count, 0)
             LIMIT 1
            """,
            workspace,
            [run for run, _ in positions],
            [metric for _, metric in positions],
            list(positions.values()),
        )
        return (RunName(workspace, row["run"]), row["metric"]) if row else None

    async def grown_series(
        self,
        workspace: str,
        runs: Sequence[str],
        metrics: Sequence[str],
        seen: Mapping[int, int],
        after: tuple[str, str],
        count: int,
    ) -> SeriesPage:
        """Returns up to `count` series of runs that do not have the seen number of values, in order of run and metric.

        No metrics: all of them. `seen` is by number of the series; `after` is the run and the metric of the last series
        that is not wanted again.
        """
        rows = await self._postgres.fetch(
            _GROWN, workspace, runs, metrics, *after, list(seen), list(seen.values()), count
        )
        return page_of_series(rows, count)
