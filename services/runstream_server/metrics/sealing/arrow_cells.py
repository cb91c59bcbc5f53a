"""Rows of tables as lists of cells in Arrow, and back."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from runstream_server.metrics.model import Kind, Segment
from runstream_server.metrics.sealing.parquet_format import CELL, CELLS, KIND_OF_NAME, KINDS, VALUE_COLUMNS
from runstream_server.metrics.tables import Table, TableColumn

_FILLERS: dict[Kind, Any] = {Kind.DOUBLE: 0.0, Kind.INT64: 0, Kind.BOOL: False, Kind.STRING: None}
_TYPES = {Kind.DOUBLE: np.float64, Kind.INT64: np.int64, Kind.BOOL: np.bool_, Kind.STRING: np.object_}


def to_cells(segments: Sequence[Segment]) -> pa.Array:
    """For each value the cells of a row; null in place of values that are no rows."""
    counts = [segment.count for segment in segments]
    tables = [segment.table for segment in segments if segment.kind is Kind.TABLE]
    if not tables:
        return pa.nulls(sum(counts), CELLS)
    widths = [len(each.table.columns) if each.kind is Kind.TABLE else 0 for each in segments]
    offsets = np.concatenate([[0], np.cumsum(np.repeat(widths, counts))]).astype(np.int32)
    missing = np.repeat([segment.kind is not Kind.TABLE for segment in segments], counts)
    cells = pa.concat_arrays([_cells(table) for table in tables])
    return pa.ListArray.from_arrays(pa.array(offsets), cells, type=CELLS, mask=pa.array(missing))


def _cells(table: Table) -> pa.Array:
    """The cells of all rows, row by row."""
    columns = table.columns
    children = [
        pa.array([column.name for column in columns] * table.row_count, pa.string()),
        pa.array([KINDS[column.cells.kind] for column in columns] * table.row_count, pa.string()),
    ]
    children.extend(_values(table, kind) for kind in VALUE_COLUMNS)
    return pa.StructArray.from_arrays(children, fields=list(CELL))


def _values(table: Table, kind: Kind) -> pa.Array:
    shape = (table.row_count, len(table.columns))
    values: NDArray[Any] = np.full(shape, _FILLERS[kind], _TYPES[kind])
    missing = np.ones(shape, np.bool_)
    for place, column in enumerate(table.columns):
        if column.cells.kind is kind:
            values[:, place] = column.cells.values
            missing[:, place] = False
    return pa.array(values.ravel(), CELL.field(VALUE_COLUMNS[kind]).type, mask=missing.ravel(), from_pandas=False)


def row_segments(cells: Any) -> Iterator[Segment]:
    """Makes segments of consecutive rows that have the same columns of the same kinds."""
    offsets = cells.offsets.to_numpy()
    values = cells.values
    names, kinds = (values.field(name).dictionary_encode() for name in ("column", "kind"))
    forms = names.indices.to_numpy().astype(np.int64) * len(KINDS) + kinds.indices.to_numpy()
    widths = np.diff(offsets)
    for start, end in _runs(widths):
        block = forms[offsets[start] : offsets[end]].reshape(end - start, widths[start])
        changed = np.any(block[1:] != block[:-1], axis=1)
        for first, beyond in _runs(np.cumsum(np.concatenate([[0], changed]))):
            yield _rows(values, int(offsets[start + first]), beyond - first, int(widths[start]))


def _runs(column: NDArray[Any]) -> Iterator[tuple[int, int]]:
    """Start and end of the runs of equal elements."""
    ends = [*(np.flatnonzero(np.diff(column)) + 1).tolist(), len(column)]
    return zip([0, *ends], ends, strict=False)


def _rows(values: Any, start: int, count: int, width: int) -> Segment:
    """The rows whose cells begin at `start`, and have the same columns as the first one."""
    columns = []
    for place in range(start, start + width):
        kind = KIND_OF_NAME[values.field("kind")[place].as_py()]
        cells = values.take(pa.array(np.arange(place, place + count * width, width)))
        columns.append(TableColumn(values.field("column")[place].as_py(), Segment(kind, count, _column(cells, kind))))
    return Segment(Kind.TABLE, count, Table(count, columns))


def _column(cells: Any, kind: Kind) -> Any:
    if kind is Kind.NULL:
        return None
    column = cells.field(VALUE_COLUMNS[kind])
    return column.to_pylist() if kind is Kind.STRING else column.to_numpy(zero_copy_only=kind is not Kind.BOOL)
