"""Grows series inside the transaction of a group: hands out indexes, refuses what a series cannot take."""

from collections.abc import AsyncIterator, Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final, NamedTuple, TypeAlias

from runstream_server.appendstreams import AppendKey
from runstream_server.envelope import checksum_of
from runstream_server.metrics.admission import TOO_MANY_METRICS, SeriesState, admit
from runstream_server.metrics.curve_growths import CurveGrowths, grow_curves
from runstream_server.metrics.curve_rows import curve_rows
from runstream_server.metrics.foresight import Ends
from runstream_server.metrics.grouping import Place, SeriesGrowth, Share, group_by_series, make_growth
from runstream_server.metrics.growth_table import table_of
from runstream_server.metrics.limits import MAX_NAMES
from runstream_server.metrics.model import SeriesKind
from runstream_server.metrics.refusals import Problem
from runstream_server.metrics.series_upsert import Counts, NameCounts, grow_series
from runstream_server.postgres import Connection

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
    grown = await grow_series(connection, table_of((), growths.curves), names)
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
    grown = await grow_series(connection, table_of(single, curves), names)
    return await _grow_rest(connection, Growths(single, curves), grown.counts, refused, names)


async def _grow_rest(
    connection: Connection, growths: Growths, counts: Counts, refused: _Refused, names: NameCounts
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


def _split_doubtful(growths: Growths, counts: Counts) -> tuple[Sequence[SeriesGrowth], CurveGrowths]:
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
    return (await grow_series(connection, table_of(growths, CurveGrowths()), {})).counts == ends


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
    connection: Connection, growths: Sequence[SeriesGrowth], counts: Counts, names: NameCounts
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
        counts.update((await grow_series(connection, table_of(again, CurveGrowths()), names)).counts)
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


def _columns(growths: Sequence[SeriesGrowth]) -> tuple[list[str], list[str], list[str]]:
    """Workspaces, runs and metrics."""
    places = [growth.place for growth in growths]
    return [place[0] for place in places], [place[1] for place in places], [place[2] for place in places]


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
