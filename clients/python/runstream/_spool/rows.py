"""Turns the rows that users log into what is stored."""

import inspect
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from itertools import groupby
from types import GeneratorType
from typing import Any, Final, NamedTuple

from runstream._spool.format import BOOL, DOUBLE, INT64, NULL, TEXT
from runstream._spool.records import Column
from runstream._spool.tables import Cells, Rows
from runstream._spool.values import Converted, Stretch, convert, uniform
from runstream.exceptions import AzureMLException, UserErrorException

PIECE_BYTES: Final = 128 * 1024
"""Rows in one record: longer tables become several records."""
CELL_BYTES: Final = 8
ROW_BYTES: Final = 16

_ARRAYS = {DOUBLE: "d", INT64: "q", BOOL: "B"}


class Table(NamedTuple):
    """Rows as they are stored."""

    pieces: list[Rows]
    notes: list[str]
    """What was changed on the way, for people."""


def convert_row(columns: Mapping[str, object]) -> Table:
    """The row given to `log_row`.

    Raises:
        UserErrorException: It has no columns.
        AzureMLException: A value is a list or another container.
    """
    if not columns:
        raise UserErrorException("A row has at least one column: log_row(name, column=value).")
    cells, notes = [], []
    for name, value in columns.items():
        if type(value) is float:
            cells.append(Cells(name, DOUBLE, array("d", (value,))))
            continue
        kind, scalar, note = _convert_cell(name, value)
        cells.append(Cells(name, kind, _column(kind, [scalar])))
        if note:
            notes.append(f"column {name!r}: {note}")
    return Table([Rows(1, cells)], notes)


def convert_table(value: Any) -> Table:
    """The table given to `log_table`, in pieces that fit into a record each. Iterators are used up.

    Raises:
        UserErrorException: It is no mapping of names to columns, or has none.
        AzureMLException: The columns differ in length, or an element of one is itself a container.
    """
    columns = {name: _convert_column(name, _elements(name, values)) for name, values in _items(value)}
    lengths = {name: len(column) for name, column in columns.items()}
    if len(set(lengths.values())) > 1:
        told = ", ".join(f"{name!r} has {length}" for name, length in lengths.items())
        raise AzureMLException(f"The columns of a table must not have different lengths: {told}.")
    pieces = [piece for rows in _stretches(columns, *set(lengths.values())) for piece in _pieces(rows)]
    notes = sorted({f"column {name!r}: {note}" for name, column in columns.items() for note in column.notes})
    return Table(pieces, notes)


class _Converted(NamedTuple):
    """A column: either all of one kind, or value by value."""

    stretch: Stretch | None
    values: list[Converted]

    def __len__(self) -> int:
        return self.stretch.length if self.stretch else len(self.values)

    @property
    def notes(self) -> set[str]:
        """What was changed."""
        return {value.note for value in self.values} - {""}

    def kinds(self, count: int) -> Iterable[int]:
        """The kind of each value."""
        return [self.stretch.kind] * count if self.stretch else [value.kind for value in self.values]

    def cut(self, start: int, end: int) -> Stretch:
        """Values that are of one kind."""
        if self.stretch is not None:
            return Stretch(self.stretch.kind, _slice(self.stretch.column, start, end))
        kind = self.values[start].kind
        return Stretch(kind, _column(kind, [value.value for value in self.values[start:end]]))


def _items(value: Any) -> Iterable[tuple[str, Any]]:
    if not isinstance(value, Mapping) and not (hasattr(value, "items") and hasattr(value, "columns")):
        raise UserErrorException(f"A table is a dict of columns, not a {type(value).__qualname__}.")
    items = list(value.items())
    if not items:
        raise UserErrorException("A table has at least one column.")
    for name, _ in items:
        if not isinstance(name, str):
            raise UserErrorException(f"The name of a column is a text, not {name!r}.")
    return items


def _elements(name: str, values: Any) -> list[Any]:
    if isinstance(values, Mapping | Set):
        raise AzureMLException(f"Column {name!r} is a {type(values).__qualname__}, which is not supported: use a list.")
    if hasattr(values, "dtype") and hasattr(values, "tolist"):
        listed = values.tolist()
        return listed if isinstance(listed, list) else [values]
    if isinstance(values, str | bytes) or not isinstance(values, Iterable):
        return [values]
    return list(values)


def _convert_column(name: str, values: list[Any]) -> _Converted:
    stretch = uniform(values)
    if stretch is not None:
        return _Converted(stretch, [])
    converted = [_convert_cell(name, value) for value in values]
    kinds = {value.kind for value in converted}
    if {DOUBLE, INT64} <= kinds <= {DOUBLE, INT64, NULL}:
        converted = [_to_double(value) for value in converted]
    return _Converted(None, converted)


def _convert_cell(name: str, value: Any) -> Converted:
    if isinstance(value, list):
        raise AzureMLException(
            f"Rows cannot contain list values: column {name!r} has one. Use log_table for many rows."
        )
    if _is_container(value):
        kind = type(value).__qualname__
        raise AzureMLException(f"Column {name!r} has a value of type {kind}, which is not supported: use a scalar.")
    return convert(value)


def _is_container(value: Any) -> bool:
    if isinstance(value, Mapping | Set | tuple | range | GeneratorType) or inspect.isgeneratorfunction(value):
        return True
    shape = getattr(value, "shape", ())
    return hasattr(value, "dtype") and not isinstance(value, type) and any(length != 1 for length in shape)


def _to_double(value: Converted) -> Converted:
    return value._replace(kind=DOUBLE, value=float(value.value)) if value.kind == INT64 else value  # type: ignore[arg-type]


def _stretches(columns: Mapping[str, _Converted], count: int) -> Iterator[Rows]:
    """The rows, cut wherever a column changes its kind."""
    if not count:
        yield Rows(0, [Cells(name, NULL, 0) for name in columns])
        return
    start = 0
    for _, rows in groupby(zip(*(column.kinds(count) for column in columns.values()), strict=True)):
        end = start + sum(1 for _ in rows)
        yield Rows(end - start, [Cells(name, *column.cut(start, end)) for name, column in columns.items()])
        start = end


def _pieces(rows: Rows) -> Iterator[Rows]:
    start = 0
    for end in _ends(rows):
        yield Rows(end - start, [Cells(name, kind, _slice(column, start, end)) for name, kind, column in rows.columns])
        start = end


def _ends(rows: Rows) -> Iterator[int]:
    """Where pieces of about `PIECE_BYTES` end."""
    texts = [column for _, _, column in rows.columns if isinstance(column, list)]
    width = ROW_BYTES + CELL_BYTES * len(rows.columns)
    size = 0
    for index in range(rows.row_count if texts else 0):
        size += width + sum(len(column[index].encode()) for column in texts)
        if size >= PIECE_BYTES:
            yield index + 1
            size = 0
    step = max(1, PIECE_BYTES // width)
    if not texts:
        yield from range(step, rows.row_count, step)
    if size or not texts:
        yield rows.row_count


def _slice(column: Column, start: int, end: int) -> Column:
    return end - start if isinstance(column, int) else column[start:end]


def _column(kind: int, scalars: Sequence[Any]) -> Column:
    if kind == NULL:
        return len(scalars)
    return list(scalars) if kind == TEXT else array(_ARRAYS[kind], scalars)
