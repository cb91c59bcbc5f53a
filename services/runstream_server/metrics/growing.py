"""Grows series inside the transaction of a group: hands out indexes, refuses what a series cannot take."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias, TypeVar

from runstream_server.appendstreams import AppendKey
from runstream_server.envelope import checksum_of
from runstream_server.metrics.admission import TOO_MANY_METRICS, SeriesState, admit
from runstream_server.metrics.curve_growths import CurveGrowths, grow_curves
from runstream_server.metrics.curve_rows import curve_rows
from runstream_server.metrics.foresight import Ends
from runstream_server.metrics.grouping import Place, SeriesGrowth, Share, group_by_series, make_growth
from runstream_server.metrics.growth_table import DOUBLES, NO_COLUMNS, GrowthTable, table_of
from runstream_server.metrics.limits import MAX_COLUMNS, MAX_NAMES, MAX_VALUES
from runstream_server.metrics.model import SeriesKind
from runstream_server.metrics.refusals import Problem
from runstream_server.postgres import Connection

NameCounts: TypeAlias = dict[tuple[str, str], int]
"""How many series a run has, by workspace and run."""

_Counts: TypeAlias = dict[Place, tuple[int, int]]
"""The number and the new count of a series."""

T = TypeVar("T")

CHUNK_COLUMNS: Final = (
    "workspace",
    "run",
    "series",
    "start_index",
    "point_count",
    "size_bytes",
    "columns",
    "overview",
    "checksum",
)

_Refused: TypeAlias = list[tuple[Share, Problem]]


class Growths(NamedTuple):
    """What one transaction appends to series, none of which is in both."""

    single: Sequence[SeriesGrowth]
    """Sorted by series."""

    curves: CurveGrowths


async def grow(connection: Connection, growths: Growths, names: NameCounts) -> tuple[_Refused, Ends]:
    """Appends to series under the locks of their rows; marks their summaries.

    `names` are the counts before, as far as they are not 0; it moves them on.

    Returns:
        What it refused, and how many values the series now have that are not among the curves.
    """
    growths = _split_full_runs(growths, names)
    if growths.single or not growths.curves.appends:
        return await _grow_all(connection, growths, names)
    grown = await _grow_series(connection, table_of((), growths.curves), names)
    if not grown.is_whole:
        return await _grow_rest(connection, growths, grown.counts, [], names)
    await store_curves(connection, growths.curves, grown.numbers, grown.ends)
    return [], {}


async def _grow_all(connection: Connection, growths: Growths, names: NameCounts) -> tuple[_Refused, Ends]:
    """Appends whatever there is."""
    single, refused = await _with_room_for_names(connection, growths.single, names)
    curves = growths.curves
    if not single and not curves.appends:
        return refused, {}
    grown = await _grow_series(connection, table_of(single, curves), names)
    return await _grow_rest(connection, Growths(single, curves), grown.counts, refused, names)


async def _grow_rest(
    connection: Connection, growths: Growths, counts: _Counts, refused: _Refused, names: NameCounts
) -> tuple[_Refused, Ends]:
    """Looks once more at series that did not grow, and stores the chunks of those that did."""
    single, curves = _split_doubtful(growths, counts)
    if any(growth.others or growth.place not in counts for growth in single):
        single, more = await _second_try(connection, single, counts, names)
        refused.extend(more)
    if single:
        await store_chunks(connection, single, counts)
    if curves.appends:
        found = [counts[place] for place in curves.places]
        await store_curves(connection, curves, [number for number, _ in found], [end for _, end in found])
    return refused, {growth.place: counts[growth.place] for growth in single}


def _split_full_runs(growths: Growths, names: NameCounts) -> Growths:
    """Takes out of the curves those whose run may have no room for more names."""
    curves = growths.curves
    full = {
        append.key
        for append, width in zip(curves.appends, curves.widths, strict=True)
        if names.get(append.key[:2], 0) + width > MAX_NAMES
    }
    return _without(growths, full)


def _split_doubtful(growths: Growths, counts: _Counts) -> tuple[Sequence[SeriesGrowth], CurveGrowths]:
    """Takes out of the curves those of which a series did not grow."""
    curves = growths.curves
    doubtful = {place[:2] for place in curves.places if place not in counts}
    return _without(growths, {append.key for append in curves.appends if append.key[:2] in doubtful})


def _without(growths: Growths, keys: Collection[AppendKey]) -> Growths:
    """Has series by series what these appends say."""
    if not keys:
        return growths
    kept = [append for append in growths.curves.appends if append.key not in keys]
    taken = group_by_series(append for append in growths.curves.appends if append.key in keys)
    single = sorted([*growths.single, *taken], key=lambda growth: growth.place)
    return Growths(single, grow_curves(kept))


async def grow_as_foreseen(connection: Connection, growths: Sequence[SeriesGrowth], ends: Ends) -> bool:
    """Appends to series whose chunks are stored; returns False if they do not lie where the series end."""
    return (await _grow_series(connection, table_of(growths, CurveGrowths()), {})).counts == ends


async def _with_room_for_names(
    connection: Connection, growths: Sequence[SeriesGrowth], names: NameCounts
) -> tuple[Sequence[SeriesGrowth], _Refused]:
    """Leaves out series that would be new and too many for their run. Looks for them only where they may be."""
    kept: list[SeriesGrowth] = []
    refused: _Refused = []
    for run, group in groupby(growths, key=lambda growth: growth.run):
        of_run = list(group)
        room = MAX_NAMES - names.get(run, 0)
        if room < len(of_run):
            known = await _known_metrics(connection, run, [growth.metric for growth in of_run])
            new = [growth for growth in of_run if growth.metric not in known]
            beyond = {growth.metric for growth in new[max(room, 0) :]}
            refused.extend(
                (share, TOO_MANY_METRICS)
                for growth in new[max(room, 0) :]
                for share in (*growth.shares, *growth.others)
            )
            of_run = [growth for growth in of_run if growth.metric not in beyond]
        kept.extend(of_run)
    return kept, refused


async def _known_metrics(connection: Connection, run: tuple[str, str], metrics: Sequence[str]) -> set[str]:
    rows = await connection.fetch(
        "SELECT metric FROM metrics.series WHERE workspace = $1 AND run = $2 AND metric = ANY($3::text[])",
        *run,
        metrics,
    )
    return {row["metric"] for row in rows}


async def _second_try(
    connection: Connection, growths: Sequence[SeriesGrowth], counts: _Counts, names: NameCounts
) -> tuple[Sequence[SeriesGrowth], _Refused]:
    """Decides piece by piece where not everything fits; returns what did grow, and what was refused."""
    grown = [growth for growth in growths if growth.place in counts]
    doubtful = [growth for growth in growths if growth.others or growth.place not in counts]
    states = await _locked_states(connection, doubtful)
    again: list[SeriesGrowth] = []
    refused: _Refused = []
    for growth in doubtful:
        shares = growth.others if growth.place in counts else [*growth.shares, *growth.others]
        admitted, problems = admit(states[growth.place], shares)
        refused.extend(problems)
        if admitted:
            again.append(make_growth(growth.place, admitted))
    if again:
        counts.update((await _grow_series(connection, table_of(again, CurveGrowths()), names)).counts)
    return [*grown, *again], refused


async def _locked_states(connection: Connection, growths: Sequence[SeriesGrowth]) -> Mapping[Place, SeriesState]:
    """The rows of series, which this transaction has locked already."""
    rows = await connection.fetch(
        """
        SELECT workspace, run, metric, kind, point_count, columns
          FROM metrics.series
          JOIN unnest($1::text[], $2::text[], $3::text[]) AS place (workspace, run, metric)
               USING (workspace, run, metric)
        """,
        *_columns(growths),
    )
    return {
        (row["workspace"], row["run"], row["metric"]): SeriesState(
            SeriesKind(row["kind"]), row["point_count"], list(row["columns"])
        )
        for row in rows
    }


class _Grown(NamedTuple):
    """What series are like after they grew, as columns."""

    places: Sequence[Sequence[str]]
    """Their workspaces, runs and metrics."""

    numbers: Sequence[int]
    ends: Sequence[int]

    is_whole: bool
    """Whether these are all series, in the order of the table."""

    @property
    def counts(self) -> _Counts:
        """The same by series."""
        return dict(zip(zip(*self.places, strict=True), zip(self.numbers, self.ends, strict=True), strict=True))


async def _grow_series(connection: Connection, table: GrowthTable, names: NameCounts) -> _Grown:
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
        return _Grown(table[:3], row["series"], row["counts"], True)
    if row["runs"] is None:
        return _Grown(((), (), ()), (), (), False)
    return _Grown((row["workspaces"], row["runs"], row["metrics"]), row["series"], row["counts"], False)


def _columns(growths: Sequence[SeriesGrowth]) -> tuple[list[str], list[str], list[str]]:
    """Workspaces, runs and metrics."""
    places = [growth.place for growth in growths]
    return [place[0] for place in places], [place[1] for place in places], [place[2] for place in places]


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


async def store_chunks(connection: Connection, growths: Sequence[SeriesGrowth], ends: Ends) -> None:
    """Stores the chunks of growths; `ends` say how many values the series have with them."""
    await connection.copy_records_to_table(
        "chunk",
        schema_name="metrics",
        columns=CHUNK_COLUMNS,
        records=_chunk_rows(growths, ends),
    )


def _chunk_rows(
    growths: Sequence[SeriesGrowth], ends: Ends
) -> Iterator[tuple[str, str, int, int, int, int, bytes, bytes | None, bytes]]:
    for growth in growths:
        place = growth.place
        number, count = ends[place]
        index = count - growth.summary.count
        for chunk in growth.chunks:
            count = chunk.summary.count
            data = chunk.data
            yield place[0], place[1], number, index, count, chunk.size_bytes, data, chunk.overview, checksum_of(data)
            index += count


async def store_curves(
    connection: Connection, curves: CurveGrowths, numbers: Sequence[int], ends: Sequence[int]
) -> None:
    """Stores the chunks of curves, of series with these numbers that have so many values with them."""
    await connection.copy_to_table(
        "chunk",
        schema_name="metrics",
        columns=CHUNK_COLUMNS,
        source=_as_they_come(curve_rows(curves, numbers, ends)),
        format="binary",
    )


async def _as_they_come(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part
