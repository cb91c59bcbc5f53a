"""The statement that grows series: locks their rows, makes those that are new, and marks their summaries."""

from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from runstream_server.metrics.grouping import Place
from runstream_server.metrics.growth_table import DOUBLES, NO_COLUMNS, GrowthTable
from runstream_server.metrics.limits import MAX_COLUMNS, MAX_VALUES
from runstream_server.metrics.model import SeriesKind
from runstream_server.postgres import Connection

NameCounts: TypeAlias = dict[tuple[str, str], int]
"""How many series a run has, by workspace and run."""

Counts: TypeAlias = dict[Place, tuple[int, int]]
"""The number and the new count of a series."""

T = TypeVar("T")


class Grown(NamedTuple):
    """What series are like after they grew, as columns."""

    places: Sequence[Sequence[str]]
    """Their workspaces, runs and metrics."""

    numbers: Sequence[int]
    ends: Sequence[int]

    is_whole: bool
    """Whether these are all series, in the order of the table."""

    @property
    def counts(self) -> Counts:
        """The same by series."""
        return dict(zip(zip(*self.places, strict=True), zip(self.numbers, self.ends, strict=True), strict=True))


async def grow_series(connection: Connection, table: GrowthTable, names: NameCounts) -> Grown:
    """Locks series, made if they are new, and counts up those that can take all they are to take; returns these.

    Marks their summaries as well. What is the same of almost all series is sent for none of them, where it is for all:
    an array that is too short goes on with NULL. Nor are the names sent back where all did grow.
    """
    (row,) = await connection.fetch(
        """
        WITH grown AS (
            INSERT INTO metrics.series AS known
                   (workspace, run, metric, point_count, last, min, max, kinds, description, kind, columns, revision,
                    first_time)
            SELECT coalesce(workspace, $15), run, metric, point_count, last, min, max, coalesce(kinds, $16),
                   coalesce(description, ''), coalesce(kind, $17), coalesce(columns, '{}')::text[], 1, first_time
              FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::float8[], $6::float8[], $7::float8[],
                          $8::integer[], $9::text[], $10::smallint[], $11::text[], $14::bigint[])
                   WITH ORDINALITY
                   AS growth (workspace, run, metric, point_count, last, min, max, kinds, description, kind, columns,
                              first_time, place)
             ORDER BY place
            ON CONFLICT (workspace, run, metric) DO UPDATE
               SET point_count = known.point_count + excluded.point_count,
                   last        = coalesce(excluded.last, known.last),
                   min         = least(known.min, excluded.min),
                   max         = greatest(known.max, excluded.max),
                   kinds       = known.kinds | excluded.kinds,
                   description = CASE known.description WHEN '' THEN excluded.description ELSE known.description END,
                   kind        = greatest(known.kind, excluded.kind),
                   columns     = CASE excluded.columns WHEN '{}' THEN known.columns
                                 ELSE metrics.joined_columns(known.columns, excluded.columns) END,
                   revision    = known.revision + 1,
                   first_time  = CASE WHEN known.first_time IS NOT NULL OR known.point_count = 0
                                 THEN least(known.first_time, excluded.first_time) END
             WHERE (known.kind = excluded.kind OR 0 IN (known.kind, excluded.kind))
               AND known.point_count + excluded.point_count <= $12
               AND (excluded.columns = '{}'
                    OR cardinality(metrics.joined_columns(known.columns, excluded.columns)) <= $13)
            RETURNING workspace, run, metric, series, point_count, revision = 1 AS new
        ), marked AS (
            INSERT INTO metrics.summary_outbox (workspaces, runs, metrics, series_count)
            SELECT array_agg(workspace), array_agg(run), array_agg(metric), count(*) FROM grown HAVING count(*) > 0
        ), listed AS (
            SELECT array_agg(workspace) AS workspaces, array_agg(run) AS runs, array_agg(metric) AS metrics,
                   array_agg(series) AS series, array_agg(point_count) AS counts,
                   array_agg(workspace) FILTER (WHERE new) AS new_workspaces,
                   array_agg(run) FILTER (WHERE new) AS new_runs
              FROM grown
        )
        SELECT series, counts, new_workspaces, new_runs, is_whole,
               CASE WHEN NOT is_whole THEN workspaces END AS workspaces,
               CASE WHEN NOT is_whole THEN runs END AS runs,
               CASE WHEN NOT is_whole THEN metrics END AS metrics
          FROM listed,
               LATERAL (SELECT coalesce(metrics = $3 AND runs = $2 AND (cardinality($1) = 0 OR workspaces = $1), false))
                       AS compared (is_whole)
        """,
        _unless_all(table.workspaces, table.workspaces[0]),
        table.runs,
        table.metrics,
        table.counts,
        table.last,
        table.min,
        table.max,
        _unless_all(table.kinds, DOUBLES),
        _unless_all(table.descriptions, ""),
        _unless_all(table.series_kinds, SeriesKind.VALUES),
        _unless_all(table.columns, NO_COLUMNS),
        MAX_VALUES,
        MAX_COLUMNS,
        table.first_times,
        table.workspaces[0],
        DOUBLES,
        SeriesKind.VALUES,
    )
    if row["new_runs"] is not None:
        await _count_names(connection, list(zip(row["new_workspaces"], row["new_runs"], strict=True)), names)
    if row["is_whole"]:
        return Grown(table[:3], row["series"], row["counts"], True)
    if row["runs"] is None:
        return Grown(((), (), ()), (), (), False)
    return Grown((row["workspaces"], row["runs"], row["metrics"]), row["series"], row["counts"], False)


def _unless_all(values: list[T], usual: T) -> list[T]:
    """The values, or none when all are the usual one."""
    return [] if values.count(usual) == len(values) else values


async def _count_names(connection: Connection, made: Sequence[tuple[str, str]], names: NameCounts) -> None:
    """Counts series that were just made, after all rows of series are locked: in this order by all transactions."""
    added = Counter(sorted(made))
    await connection.execute(
        """
        INSERT INTO metrics.name_count AS known (workspace, run, series_count)
        SELECT * FROM unnest($1::text[], $2::text[], $3::integer[])
        ON CONFLICT (workspace, run) DO UPDATE SET series_count = known.series_count + excluded.series_count
        """,
        [workspace for workspace, _ in added],
        [run for _, run in added],
        list(added.values()),
    )
    for run, count in added.items():
        names[run] = names.get(run, 0) + count
