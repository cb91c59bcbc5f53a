"""Puts together what one transaction appends to the series of many runs, of which each appends a few numbers."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from runstream_server.metrics.grouping import Place
from runstream_server.metrics.layouts import Columns, Layout
from runstream_server.metrics.model import KnownBatch, MetricAppend
from runstream_server.metrics.short_curves import encode_short_curves

_BATCHES_AT_ONCE = 256
"""Their tables are in the caches of a processor."""

_Rows: TypeAlias = NDArray[np.intp]


@dataclass(slots=True)
class CurveGrowths:
    """What one transaction appends to many series, one chunk to each, as columns of equal length sorted by series."""

    appends: list[MetricAppend] = field(default_factory=list)
    """What it is made from, one for each run, sorted by run."""

    widths: list[int] = field(default_factory=list)
    """How many series each of them has."""

    workspaces: list[str] = field(default_factory=list)
    runs: list[str] = field(default_factory=list)
    metrics: list[str] = field(default_factory=list)
    counts: list[int] = field(default_factory=list)
    last: list[float | None] = field(default_factory=list)
    min: list[float | None] = field(default_factory=list)
    max: list[float | None] = field(default_factory=list)
    first_times: list[int | None] = field(default_factory=list)
    chunks: list[bytes] = field(default_factory=list)

    @property
    def places(self) -> Iterator[Place]:
        """Which series these are."""
        return zip(self.workspaces, self.runs, self.metrics, strict=True)

    def extend(self, appends: Sequence[MetricAppend]) -> None:
        """Adds appends of later runs."""
        self.appends.extend(appends)
        for append in appends:
            layout = _layout(append)
            width = len(layout.metrics)
            self.widths.append(width)
            self.workspaces.extend([append.key.workspace] * width)
            self.runs.extend([append.key.run] * width)
            self.metrics.extend(layout.metrics)
            self.counts.extend(layout.counts)
        _Encoded(appends).add_to(self)


def part_curves(appends: Sequence[MetricAppend]) -> tuple[Sequence[MetricAppend], Sequence[MetricAppend]]:
    """Parts appends into those of curves to whose run no other is, sorted by run, and all others in their order."""
    runs = Counter([append.key[:2] for append in appends if append.payload is not None])
    curves: list[MetricAppend] = []
    others: list[MetricAppend] = []
    for append in appends:
        is_alone = isinstance(append.payload, KnownBatch) and runs[append.key[:2]] == 1
        (curves if is_alone else others).append(append)
    return sorted(curves, key=lambda append: append.key), others


def helpings(appends: Sequence[MetricAppend]) -> Iterable[Sequence[MetricAppend]]:
    """Cuts appends into what takes a millisecond or so."""
    return (appends[begin : begin + _BATCHES_AT_ONCE] for begin in range(0, len(appends), _BATCHES_AT_ONCE))


def grow_curves(appends: Sequence[MetricAppend]) -> CurveGrowths:
    """Makes the growths of appends sorted by run."""
    growths = CurveGrowths()
    for some in helpings(appends):
        growths.extend(some)
    return growths


def _layout(append: MetricAppend) -> Layout:
    return cast("KnownBatch", append.payload).layout


class _Encoded:
    """The chunks and summaries of some batches, filled table by table."""

    def __init__(self, appends: Sequence[MetricAppend]) -> None:
        widths = [len(_layout(append).metrics) for append in appends]
        count = sum(widths)
        self._chunks: NDArray[np.object_] = np.empty(count, np.object_)
        self._last, self._min, self._max = np.empty(count), np.empty(count), np.empty(count)
        self._first_times = np.empty(count, np.int64)
        for tables in _tables(appends, np.cumsum([0, *widths])[:-1]):
            self._fill(tables)

    def _fill(self, tables: Sequence[tuple[_Rows, Columns]]) -> None:
        """Encodes tables of one width."""
        rows = np.concatenate([rows for rows, _ in tables])
        steps, times, values = (_joined([columns[place] for _, columns in tables]) for place in (1, 2, 3))
        self._chunks[rows] = encode_short_curves(steps, times, values)
        self._last[rows] = values[:, -1]
        self._min[rows] = np.fmin.reduce(values, axis=1)
        self._max[rows] = np.fmax.reduce(values, axis=1)
        self._first_times[rows] = times.min(axis=1)

    def add_to(self, growths: CurveGrowths) -> None:
        growths.chunks.extend(self._chunks.tolist())
        growths.last.extend(self._last.tolist())
        growths.min.extend(_numbers(self._min))
        growths.max.extend(_numbers(self._max))
        growths.first_times.extend(self._first_times.tolist())


def _tables(appends: Sequence[MetricAppend], begins: _Rows) -> Iterable[Sequence[tuple[_Rows, Columns]]]:
    """Columns of one width at a time, with the row of each series."""
    of_layout: dict[Layout, list[int]] = {}
    for place, append in enumerate(appends):
        of_layout.setdefault(_layout(append), []).append(place)
    alike: dict[tuple[int, bool], list[tuple[_Rows, Columns]]] = {}
    for layout, places in of_layout.items():
        for columns in layout.columns([cast("KnownBatch", appends[place].payload).series for place in places]):
            rows = (begins[places][:, None] + columns.placed.ranks).ravel()
            alike.setdefault((columns.placed.count, layout.has_steps), []).append((rows, columns))
    return alike.values()


def _joined(tables: Sequence[Any]) -> Any:
    """Puts tables of one width below each other; None if there are none."""
    if tables[0] is None:
        return None
    return np.concatenate([table.reshape(-1, table.shape[-1]) for table in tables])


def _numbers(values: NDArray[np.float64]) -> list[float | None]:
    """None for what is no number: the least and the greatest where all are NaN."""
    numbers: list[float | None] = values.tolist()
    for place in np.flatnonzero(np.isnan(values)).tolist():
        numbers[place] = None
    return numbers
