"""Points as rows of Arrow tables and back, exact to the last bit."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runstream_server.metrics.model import Int64s, Kind, Points, Segment
from runstream_server.metrics.sealing.arrow_cells import row_segments, to_cells
from runstream_server.metrics.sealing.parquet_format import (
    ARTIFACT_KIND_OF_NAME,
    ARTIFACT_KINDS,
    KIND_OF_NAME,
    KINDS,
    NAMES,
    SCHEMA,
    VALUE_COLUMNS,
)
from runstream_server.metrics.tables import Artifacts

_TYPES: dict[Kind, type[np.generic]] = {Kind.DOUBLE: np.float64, Kind.INT64: np.int64, Kind.BOOL: np.bool_}
_FIXED = (Kind.DOUBLE, Kind.INT64, Kind.BOOL)


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
    kinds = np.repeat(np.arange(len(segments), dtype=np.int32), [each.count for each in segments])
    columns = {
        "metric": _names(metrics, [part.metric for part in parts]),
        "index": pa.array(np.concatenate([_indexes(part) for part in parts])),
        "step": pa.array(np.concatenate([cast("Int64s", part.points.steps) for part in parts])),
        "time": pa.array(np.concatenate([part.points.times for part in parts])).cast(SCHEMA.field("time").type),
        "kind": _names(kinds, [_kind_name(each) for each in segments]),
        "string_value": _texts(segments, Kind.STRING, lambda each: each.strings),
        "artifact": _texts(segments, Kind.ARTIFACTS, lambda each: each.artifacts.paths),
        "cells": to_cells(segments),
    }
    for kind in _FIXED:
        columns[VALUE_COLUMNS[kind]] = _values(segments, kind)
    return pa.Table.from_pydict(columns, schema=SCHEMA)


def _indexes(part: Part) -> Int64s:
    return np.arange(part.start_index, part.start_index + part.points.count)


def _names(codes: NDArray[np.int32], names: Sequence[str]) -> pa.DictionaryArray:
    """Texts by their places in `names`, which may hold one more than once."""
    places: dict[str, int] = {}
    renumbered = np.array([places.setdefault(name, len(places)) for name in names], np.int32)
    return pa.DictionaryArray.from_arrays(pa.array(renumbered[codes]), pa.array(list(places), pa.string())).cast(NAMES)


def _kind_name(segment: Segment) -> str:
    return ARTIFACT_KINDS[segment.artifacts.artifact_kind] if segment.kind is Kind.ARTIFACTS else KINDS[segment.kind]


def _texts(segments: Sequence[Segment], kind: Kind, texts: Callable[[Segment], Sequence[str]]) -> pa.Array:
    """The texts of segments of one kind; null in place of other values."""
    if not any(segment.kind is kind for segment in segments):
        return pa.nulls(sum(segment.count for segment in segments), pa.string())
    rows = (texts(each) if each.kind is kind else [None] * each.count for each in segments)
    return pa.array([text for of_segment in rows for text in of_segment], pa.string())


def _values(segments: Sequence[Segment], kind: Kind) -> pa.Array:
    """The numbers or truth values of one kind; null where a value is of another one."""
    total = sum(segment.count for segment in segments)
    if not any(segment.kind is kind for segment in segments):
        return pa.nulls(total, SCHEMA.field(VALUE_COLUMNS[kind]).type)
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
    names = kinds.dictionary.to_pylist()
    codes = kinds.indices.to_numpy()
    ends = [*(np.flatnonzero(np.diff(codes)) + 1).tolist(), len(codes)]
    columns = _Columns(rows)
    for start, end in zip([0, *ends], ends, strict=False):
        yield from columns.segments(names[codes[start]], start, end)


class _Columns:
    """The columns of values, each taken out of the rows when it is first needed."""

    def __init__(self, rows: pa.Table) -> None:
        self._rows = rows
        self._columns: dict[str, Any] = {}

    def _part(self, name: str, start: int, end: int) -> Any:
        if name not in self._columns:
            self._columns[name] = _one_array(self._rows, name)
        return self._columns[name].slice(start, end - start)

    def segments(self, kind_name: str, start: int, end: int) -> Iterable[Segment]:
        """The values from a row to before another one, all of which are of one kind."""
        if kind_name in ARTIFACT_KIND_OF_NAME:
            paths = self._part("artifact", start, end).to_pylist()
            artifacts = Artifacts(ARTIFACT_KIND_OF_NAME[kind_name], paths)
            return [Segment(Kind.ARTIFACTS, end - start, artifacts)]
        kind = KIND_OF_NAME[kind_name]
        if kind is Kind.TABLE:
            return row_segments(self._part("cells", start, end))
        return [Segment(kind, end - start, self._values(kind, start, end))]

    def _values(self, kind: Kind, start: int, end: int) -> Any:
        if kind is Kind.NULL:
            return None
        part = self._part(VALUE_COLUMNS[kind], start, end)
        return part.to_pylist() if kind is Kind.STRING else part.to_numpy(zero_copy_only=kind is not Kind.BOOL)
