"""The values of one metric of one run, as they were logged."""

import importlib
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from runstream.api.metrics.v1.metrics_service_pb2 import SeriesColumns, TableColumn
from runstream.exceptions import UserErrorException

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
VALUES: Final = "values"
TABLE: Final = "table"
ARTIFACTS: Final = "artifacts"

Numbers = Sequence[int]
Scalar = int | float | bool | str | None


class Column:
    """Scalars in order, as the pieces in which they came."""

    def __init__(self, missing: int = 0) -> None:
        """A column that begins with `missing` values that are None."""
        self._pieces: list[Any] = []
        self.miss(missing)

    def miss(self, count: int) -> None:
        """Adds values that are None."""
        if count:
            self._pieces.append([None] * count)

    def add(self, message: SeriesColumns | TableColumn, kind: str | None) -> None:
        """Adds the values of a message that has `kind` set."""
        if kind is None or kind == "nulls":
            self.miss(message.nulls.count)
        else:
            self._pieces.append(getattr(message, kind).values)

    def values(self) -> list[Scalar]:
        """All values. Integers among floating-point numbers are such numbers too."""
        found: list[Scalar] = [value for piece in self._pieces for value in piece]
        if any(type(value) is float for value in found):
            found = [float(value) if type(value) is int else value for value in found]
        return found

    def array(self) -> Any:
        """All values as an array of numpy where they are all numbers or all truth values, else as a list."""
        numpy = import_numpy()
        if numpy is None:
            return self.values()
        arrays = [numpy.asarray(piece) for piece in self._pieces if len(piece)]
        kinds = {one.dtype.kind for one in arrays}
        if kinds and (kinds <= {"f", "i"} or kinds == {"b"}):
            return numpy.concatenate(arrays)
        return self.values()


class Gathered:
    """What came of one series, in order."""

    def __init__(self) -> None:
        self.kind = ""
        self.count = 0
        self.scalars = Column()
        self.columns: dict[str, Column] = {}
        self.artifact_kind = 0
        self.paths: list[str] = []

    def add(self, columns: SeriesColumns) -> None:
        """Adds consecutive values."""
        kind = columns.WhichOneof("values")
        if kind == "table":
            self.kind = TABLE
            self._add_rows(columns)
        elif kind == "artifacts":
            self.kind = ARTIFACTS
            self.artifact_kind = self.artifact_kind or columns.artifacts.kind
            self.paths.extend(columns.artifacts.paths)
        else:
            self.kind = self.kind or VALUES
            self.scalars.add(columns, kind)
        self.count += len(columns.times)

    def _add_rows(self, message: SeriesColumns) -> None:
        row_count = message.table.row_count
        for column in message.table.columns:
            if column.name not in self.columns:
                self.columns[column.name] = Column(missing=self.count)
            self.columns[column.name].add(column, column.WhichOneof("cells"))
        for name in self.columns.keys() - {column.name for column in message.table.columns}:
            self.columns[name].miss(row_count)


class Series:
    """Values of one metric of one run in the order they were stored, or a part of them; nothing is collapsed.

        series = run.get_series("loss")
        series.steps, series.times, series.values        # equally long
        series.to_pandas()

    With numpy installed numbers and truth values are arrays, steps int64 and times `datetime64[us]` in UTC; else all
    are lists, and times `datetime`. What no array holds, texts or None among numbers for example, is always a list.
    """

    def __init__(self, name: str, run_id: str) -> None:
        self.name = name
        """The metric."""
        self.run_id = run_id
        """The id of the run."""
        self.start_index = 0
        """How many values of the series are before the first one here."""
        self._gathered = Gathered()
        self._steps: list[Numbers] = []
        self._times: list[Numbers] = []

    @property
    def kind(self) -> str:
        """`values`, `table` or `artifacts`; empty: there is no such metric."""
        return self._gathered.kind

    @property
    def steps(self) -> Any:
        """The step of each value: the one it was logged with, else how many values were before it."""
        return _integers(self._steps)

    @property
    def times(self) -> Any:
        """When each value was logged."""
        times = _integers(self._times)
        if isinstance(times, list):
            return [EPOCH + timedelta(microseconds=time) for time in times]
        return times.astype("datetime64[us]")

    @property
    def values(self) -> Any:
        """The values; of a table a dict of columns; of artifacts their paths in the run."""
        if self.kind == TABLE:
            return self.columns
        if self.kind == ARTIFACTS:
            return list(self._gathered.paths)
        return self._gathered.scalars.array()

    @property
    def columns(self) -> dict[str, Any]:
        """The columns of a table in the order they first appeared; a cell that a row does not have is None."""
        return {name: column.array() for name, column in self._gathered.columns.items()}

    def to_pandas(self) -> Any:
        """A DataFrame with the columns `step`, `time` and `value`, or those of the table in place of `value`.

        Where a table has a column `step` or `time` itself, there is that one only.

        Raises:
            UserErrorException: pandas is not installed.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ImportError as error:
            raise UserErrorException("to_pandas needs pandas: pip install pandas", error) from None
        frame = pandas.DataFrame({"step": self.steps, "time": pandas.to_datetime(self.times, utc=True)})
        values = self.columns if self.kind == TABLE else {"value": self.values}
        return pandas.concat([frame.drop(columns=list(values), errors="ignore"), pandas.DataFrame(values)], axis=1)

    def __len__(self) -> int:
        return self._gathered.count

    def __repr__(self) -> str:
        return f"Series({self.name!r} of run {self.run_id}: {len(self)} {self.kind or 'values'})"

    def _add(self, start_index: int, columns: SeriesColumns) -> None:
        if not self._steps:
            self.start_index = start_index
        self._steps.append(columns.steps)
        self._times.append(columns.times)
        self._gathered.add(columns)


def import_numpy() -> Any:
    """The module numpy; None: it is not installed."""
    try:
        import numpy
    except ImportError:
        return None
    return numpy


def _integers(pieces: list[Numbers]) -> Any:
    numpy = import_numpy()
    if numpy is None:
        return list(_flat(pieces))
    return numpy.concatenate([numpy.empty(0, "int64"), *(numpy.asarray(piece, "int64") for piece in pieces)])


def _flat(pieces: list[Numbers]) -> Iterator[int]:
    for piece in pieces:
        yield from piece
