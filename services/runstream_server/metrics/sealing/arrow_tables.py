"""Points as rows of Arrow tables and back, exact to the last bit."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runstream_server.metrics.model import Int64s, Kind, Points, Segment
from runstream_server.metrics.sealing.parquet_format import (
    KIND_NAMES,
    KIND_OF_NAME,
    KINDS,
    NAMES,
    SCHEMA,
    VALUE_COLUMNS,
)

_TYPES: dict[Kind, type[np.generic]] = {Kind.DOUBLE: np.float64, Kind.INT64: np.int64, Kind.BOOL: np.bool_}
_CODES = {kind: code for code, kind in enumerate(KINDS)}


@dataclass(slots=True)
class Part:
    """Consecutive points of one series, with a step for each."""

    metric: str
    start_index: int
    points: Points


def to_table(parts: Sequence[Part]) -> pa.Table:
    """Makes one row of each point, in order."""
    segments = [segment for part in parts for segment in part.points.segments]
    counts = [part.points.count for part in parts]
    metrics = np.repeat(np.arange(len(parts), dtype=np.int32), counts)
    kinds = np.repeat([_CODES[each.kind] for each in segments], [each.count for each in segments]).astype(np.int32)
    columns = {
        "metric": _names(metrics, [part.metric for part in parts]),
        "index": pa.array(np.concatenate([_indexes(part) for part in parts])),
        "step": pa.array(np.concatenate([cast("Int64s", part.points.steps) for part in parts])),
        "time": pa.array(np.concatenate([part.points.times for part in parts])).cast(SCHEMA.field("time").type),
        "kind": _names(kinds, KIND_NAMES),
    }
    for kind, name in VALUE_COLUMNS.items():
        columns[name] = _values(segments, kind)
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def _indexes(part: Part) -> Int64s:
    return np.arange(part.start_index, part.start_index + part.points.count)


def _names(codes: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    """Texts by their places in `names`, which may hold one more than once."""
    places: dict[str, int] = {}
    renumbered = np.array([places.setdefault(name, len(places)) for name in names], np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(renumbered[codes]), pa.array(list(places), pa.string())).cast(NAMES)


def _values(segments: Sequence[Segment], kind: Kind) -> pa.Array:
    """The values of one kind; null where a value is of another one."""
    total = sum(segment.count for segment in segments)
    if not any(segment.kind is kind for segment in segments):
        return pa.nulls(total, SCHEMA.field(VALUE_COLUMNS[kind]).type)
    if kind is Kind.STRING:
        return pa.array(
            [text for each in segments for text in (each.strings if each.kind is kind else [None] * each.count)],
            pa.string(),
        )
    filler = np.zeros(max(each.count for each in segments), _TYPES[kind])
    values = [each.array if each.kind is kind else filler[: each.count] for each in segments]
    missing = np.repeat([each.kind is not kind for each in segments], [each.count for each in segments])
    return pa.array(np.concatenate(values), mask=missing if missing.any() else None, from_pandas=False)


def from_table(table: pa.Table, first_row: int, count: int) -> Points:
    """Takes the points out of `count` rows of one row group."""
    rows = table.slice(first_row, count)
    steps = _numbers(rows, "step")
    times = _numbers(rows, "time")
    return Points(steps, times, list(_segments(rows)))


def _numbers(rows: pa.Table, name: str) -> Int64s:
    column = _one_array(rows, name)
    return cast("Int64s", column.view(pa.int64()).to_numpy())


def _one_array(rows: pa.Table, name: str) -> Any:
    """The column in one piece."""
    column = rows.column(name)
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _segments(rows: pa.Table) -> Iterator[Segment]:
    kinds = _one_array(rows, "kind")
    names = [KIND_OF_NAME[name] for name in kinds.dictionary.to_pylist()]
    codes = kinds.indices.to_numpy()
    ends = [*(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    reads: dict[Kind, Callable[[int, int], Any]] = {}
    for start, end in zip([0, *ends], ends, strict=False):
        kind = names[codes[start]]
        if kind not in reads:
            reads[kind] = _reader(rows, kind)
        yield Segment(kind, end - start, reads[kind](start, end))


def _reader(rows: pa.Table, kind: Kind) -> Callable[[int, int], Any]:
    """Reads the values of one kind from a row to before another."""
    if kind is Kind.NULL:
        return lambda _start, _end: None
    column = _one_array(rows, VALUE_COLUMNS[kind])
    if kind is Kind.STRING:
        return lambda start, end: column.slice(start, end - start).to_pylist()
    if kind is Kind.BOOL:
        return lambda start, end: column.slice(start, end - start).to_numpy(zero_copy_only=False)
    return lambda start, end: column.slice(start, end - start).to_numpy()
