"""What a transaction says of all series it appends to, as columns."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from runstream_server.metrics.curve_growths import CurveGrowths
from runstream_server.metrics.grouping import SeriesGrowth
from runstream_server.metrics.model import Kind, SeriesKind

DOUBLES = 1 << Kind.DOUBLE
NO_COLUMNS = "{}"


class GrowthTable(NamedTuple):
    """Columns of one length, sorted by series: as arguments of the statement that grows them."""

    workspaces: list[str]
    runs: list[str]
    metrics: list[str]
    counts: list[int]
    last: list[float | None]
    min: list[float | None]
    max: list[float | None]
    kinds: list[int]
    descriptions: list[str]
    series_kinds: list[int]

    columns: list[str]
    """Arrays as Postgres writes them, since arrays of arrays would have to be of one length."""

    first_times: list[int | None]


def table_of(growths: Sequence[SeriesGrowth], curves: CurveGrowths) -> GrowthTable:
    """The table of both, each of which is sorted."""
    if not growths:
        return _of_curves(curves)
    if not curves.appends:
        return _of_growths(growths)
    tables: tuple[Sequence[list[Any]], Sequence[list[Any]]] = (_of_growths(growths), _of_curves(curves))
    joined = [one + other for one, other in zip(*tables, strict=True)]
    places = list(zip(*joined[:3], strict=True))
    order = sorted(range(len(places)), key=places.__getitem__)
    return GrowthTable._make([column[place] for place in order] for column in joined)


def _of_curves(curves: CurveGrowths) -> GrowthTable:
    size = len(curves.metrics)
    return GrowthTable(
        curves.workspaces,
        curves.runs,
        curves.metrics,
        curves.counts,
        curves.last,
        curves.min,
        curves.max,
        [DOUBLES] * size,
        [""] * size,
        [SeriesKind.VALUES] * size,
        [NO_COLUMNS] * size,
        curves.first_times,
    )


def _of_growths(growths: Sequence[SeriesGrowth]) -> GrowthTable:
    return GrowthTable(
        [growth.place[0] for growth in growths],
        [growth.place[1] for growth in growths],
        [growth.place[2] for growth in growths],
        [growth.summary.count for growth in growths],
        [growth.summary.last for growth in growths],
        [growth.summary.min for growth in growths],
        [growth.summary.max for growth in growths],
        [growth.summary.kinds for growth in growths],
        [growth.description for growth in growths],
        [growth.kind for growth in growths],
        [_array(growth.columns) if growth.columns else NO_COLUMNS for growth in growths],
        [growth.summary.first_time for growth in growths],
    )


def _array(texts: Sequence[str]) -> str:
    quoted = (text.replace("\\", "\\\\").replace('"', '\\"') for text in texts)
    return "{" + ",".join(f'"{text}"' for text in quoted) + "}"
