"""Grows series inside the transaction of a group: hands out indexes, refuses what a series cannot take."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import TypeAlias

from runstream_server.metrics.admission import TOO_MANY_METRICS, SeriesState, admit
from runstream_server.metrics.foresight import Ends
from runstream_server.metrics.grouping import Place, SeriesGrowth, Share, make_growth
from runstream_server.metrics.limits import MAX_COLUMNS, MAX_NAMES, MAX_VALUES
from runstream_server.metrics.model import SeriesKind
from runstream_server.metrics.refusals import Problem
from runstream_server.postgres import Connection

NameCounts: TypeAlias = dict[tuple[str, str], int]
"""How many series a run has, by workspace and run."""

_Counts: TypeAlias = dict[Place, tuple[int, int]]
"""The number and the new count of a series."""

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
        await _mark_summaries(connection, growths)
    return refused, counts


async def grow_as_foreseen(connection: Connection, growths: Sequence[SeriesGrowth], ends: Ends) -> bool:
    """Appends to series whose chunks are stored; returns False if they do not lie where the series end."""
    if await _grow_series(connection, growths, {}) != ends:
        return False
    await _mark_summaries(connection, growths)
    return True


async def _with_room_for_names(
    connection: Connection, growths: Sequence[SeriesGrowth], names: NameCounts
) -> tuple[Sequence[SeriesGrowth], _Refused]:
    """Leaves out series that would be new and too many for their run. Looks for them only where they may be."""
    kept: list[SeriesGrowth] = []
    refused: _Refused = []
    for run, group in groupby(growths, key=lambda growth: (growth.workspace, growth.run)):
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
        [growth.workspace for growth in growths],
        [growth.run for growth in growths],
        [growth.metric for growth in growths],
    )
    return {
        (row["workspace"], row["run"], row["metric"]): SeriesState(
            SeriesKind(row["kind"]), row["point_count"], list(row["columns"])
        )
        for row in rows
    }


async def _grow_series(connection: Connection, growths: Sequence[SeriesGrowth], names: NameCounts) -> _Counts:
    """Locks series, made if they are new, and counts up those that can take all they are to take; returns these."""
    rows = await connection.fetch(
        """
        INSERT INTO metrics.series AS known
               (workspace, run, metric, point_count, last, min, max, kinds, description, kind, columns, revision,
                first_time)
        SELECT workspace, run, metric, point_count, last, min, max, kinds, description, kind, columns::text[], 1,
               first_time
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
        [growth.kind for growth in growths],
        [_array(growth.columns) for growth in growths],
        MAX_VALUES,
        MAX_COLUMNS,
        [growth.summary.first_time for growth in growths],
    )
    await _count_names(connection, [(row["workspace"], row["run"]) for row in rows if row["new"]], names)
    return {(row["workspace"], row["run"], row["metric"]): (row["series"], row["point_count"]) for row in rows}


def _array(texts: Sequence[str]) -> str:
    """An array as Postgres writes it, since arrays of arrays would have to be of one length."""
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"


async def _count_names(connection: Connection, made: Sequence[tuple[str, str]], names: NameCounts) -> None:
    """Counts series that were just made, after all rows of series are locked: in this order by all transactions."""
    if not made:
        return
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
        columns=("workspace", "run", "series", "start_index", "point_count", "size_bytes", "columns", "overview"),
        records=_chunk_rows(growths, ends),
    )


async def _mark_summaries(connection: Connection, growths: Sequence[SeriesGrowth]) -> None:
    await connection.execute(
        "INSERT INTO metrics.summary_outbox (workspaces, runs, metrics, series_count) VALUES ($1, $2, $3, $4)",
        [growth.workspace for growth in growths],
        [growth.run for growth in growths],
        [growth.metric for growth in growths],
        len(growths),
    )


def _chunk_rows(
    growths: Sequence[SeriesGrowth], ends: Ends
) -> Iterator[tuple[str, str, int, int, int, int, bytes, bytes | None]]:
    for growth in growths:
        number, count = ends[growth.place]
        index = count - growth.summary.count
        for chunk in growth.chunks:
            count = chunk.summary.count
            yield growth.workspace, growth.run, number, index, count, chunk.size_bytes, chunk.data, chunk.overview
            index += count
