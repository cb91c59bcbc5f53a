"""Grows series inside the transaction of a group: hands out indexes, refuses what a series cannot take."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, TypeAlias, TypeVar

from runstream_server.envelope import checksum_of
from runstream_server.metrics.admission import TOO_MANY_METRICS, SeriesState, admit
from runstream_server.metrics.foresight import Ends
from runstream_server.metrics.grouping import Place, SeriesGrowth, Share, make_growth
from runstream_server.metrics.limits import MAX_COLUMNS, MAX_NAMES, MAX_VALUES
from runstream_server.metrics.model import Kind, SeriesKind
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

_DOUBLES = 1 << Kind.DOUBLE
_NO_COLUMNS = "{}"

_Refused: TypeAlias = list[tuple[Share, Problem]]


async def grow(connection: Connection, growths: Sequence[SeriesGrowth], names: NameCounts) -> tuple[_Refused, Ends]:
    """Appends to series, sorted, under the locks of their rows; marks their summaries.

    `names` are the counts before, as far as they are not 0; it moves them on.

    Returns:
        What it refused, and how many values the series have now.
    """
    growths, refused = await _with_room_for_names(connection, growths, names)
    if not growths:
        return refused, {}
    counts = await _grow_series(connection, growths, names)
    if any(growth.others or growth.place not in counts for growth in growths):
        growths, more = await _second_try(connection, growths, counts, names)
        refused.extend(more)
    if growths:
        await store_chunks(connection, growths, counts)
    return refused, counts


async def grow_as_foreseen(connection: Connection, growths: Sequence[SeriesGrowth], ends: Ends) -> bool:
    """Appends to series whose chunks are stored; returns False if they do not lie where the series end."""
    return await _grow_series(connection, growths, {}) == ends


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
        counts.update(await _grow_series(connection, again, names))
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


async def _grow_series(connection: Connection, growths: Sequence[SeriesGrowth], names: NameCounts) -> _Counts:
    """Locks series, made if they are new, and counts up those that can take all they are to take; returns these.

    Marks their summaries as well. What is the same of almost all series is sent for none of them, where it is for all:
    an array that is too short goes on with NULL.
    """
    workspaces, runs, metrics = _columns(growths)
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
        )
        SELECT array_agg(workspace) AS workspaces, array_agg(run) AS runs, array_agg(metric) AS metrics,
               array_agg(series) AS series, array_agg(point_count) AS counts,
               array_agg(workspace) FILTER (WHERE new) AS new_workspaces, array_agg(run) FILTER (WHERE new) AS new_runs
          FROM grown
        """,
        _unless_all(workspaces, workspaces[0]),
        runs,
        metrics,
        [growth.summary.count for growth in growths],
        [growth.summary.last for growth in growths],
        [growth.summary.min for growth in growths],
        [growth.summary.max for growth in growths],
        _unless_all([growth.summary.kinds for growth in growths], _DOUBLES),
        _unless_all([growth.description for growth in growths], ""),
        _unless_all([growth.kind for growth in growths], SeriesKind.VALUES),
        _unless_all([_array(growth.columns) if growth.columns else _NO_COLUMNS for growth in growths], _NO_COLUMNS),
        MAX_VALUES,
        MAX_COLUMNS,
        [growth.summary.first_time for growth in growths],
        workspaces[0],
        _DOUBLES,
        SeriesKind.VALUES,
    )
    if row["runs"] is None:
        return {}
    if row["new_runs"] is not None:
        await _count_names(connection, list(zip(row["new_workspaces"], row["new_runs"], strict=True)), names)
    places = zip(row["workspaces"], row["runs"], row["metrics"], strict=True)
    return dict(zip(places, zip(row["series"], row["counts"], strict=True), strict=True))


def _columns(growths: Sequence[SeriesGrowth]) -> tuple[list[str], list[str], list[str]]:
    """Workspaces, runs and metrics."""
    places = [growth.place for growth in growths]
    return [place[0] for place in places], [place[1] for place in places], [place[2] for place in places]


def _unless_all(values: list[T], usual: T) -> list[T]:
    """The values, or none when all are the usual one."""
    return [] if values.count(usual) == len(values) else values


def _array(texts: Sequence[str]) -> str:
    """An array as Postgres writes it, since arrays of arrays would have to be of one length."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


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
