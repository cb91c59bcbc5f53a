"""Makes columns for the wire out of records of a spool."""

from array import array
from collections.abc import Collection, Mapping
from typing import Final

from runstream._spool.format import BOOL, DESCRIBE, DOUBLE, INT64, NULL, TABLE, TEXT, VALUE
from runstream._spool.records import Column, Numbers, Values, decode_text, decode_values, little_endian
from runstream._spool.tables import Rows, RowsRecord, decode_rows
from runstream.api.metrics.v1.metrics_service_pb2 import MetricBatch, SeriesColumns, TableColumn

MAX_COLUMNS: Final = 10_000
"""As the contract says."""
POINT_BYTES: Final = 16
COLUMN_BYTES: Final = 32
MAX_RECORD_BYTES: Final = 704 * 1024
"""Of one record on the wire: a batch, which is 256 KiB and a record at most, has to fit into 1 MiB."""

_STEPS_FIELD = SeriesColumns.DESCRIPTOR.fields_by_name["steps"].number
_TIMES_FIELD = SeriesColumns.DESCRIPTOR.fields_by_name["times"].number
_VALUES_FIELD = 1
_PACKED = 2


class Cells:
    """Values of one kind."""

    def __init__(self, kind: int) -> None:
        self._kind = kind
        self._numbers: Numbers = array("d" if kind == DOUBLE else "B" if kind == BOOL else "q")
        self._texts: list[str] = []
        self._null_count = 0

    def extend(self, column: Column) -> None:
        """Adds values of the kind."""
        if isinstance(column, int):
            self._null_count += column
        elif isinstance(column, list):
            self._texts.extend(column)
        else:
            self._numbers.extend(column)  # type: ignore[arg-type]  # both are of the kind

    def write_to(self, message: SeriesColumns | TableColumn) -> None:
        """Fills the values of a message."""
        if self._kind == DOUBLE:
            message.doubles.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self._kind == INT64:
            message.int64s.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self._kind == BOOL:
            message.bools.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self._kind == TEXT:
            message.strings.values.extend(self._texts)
        else:
            message.nulls.count = self._null_count


class Columns:
    """Consecutive values of one series: of one kind, and all with a step or all without."""

    def __init__(self, metric: str, kind: int, has_steps: bool) -> None:
        self.metric = metric
        self.kind = kind
        self.has_steps = has_steps
        self.description = ""
        self._steps = array("q")
        self._times = array("q")
        self._column = Cells(kind)

    def fits(self, values: Values) -> bool:
        """Whether the values of a record can be added."""
        return self.kind == values.kind and self.has_steps == (values.step is not None)

    def add(self, values: Values) -> None:
        """Adds the values of one record."""
        self._times.extend([values.time] * values.value_count)
        if values.step is not None:
            self._steps.append(values.step)
        self._column.extend(values.column)

    def write_to(self, series: SeriesColumns) -> None:
        """Fills a message."""
        series.metric = self.metric
        series.description = self.description
        series.MergeFromString(packed(_STEPS_FIELD, self._steps) + packed(_TIMES_FIELD, self._times))
        self._column.write_to(series)


class TableColumns:
    """Consecutive rows of one series: of the same columns in the same order, each of one kind."""

    def __init__(self, metric: str, rows: Rows | None) -> None:
        self.metric = metric
        self.description = ""
        self._times = array("q")
        self._row_count = 0
        self._cells = {name: Cells(kind) for name, kind, _ in rows.columns} if rows else {}
        self._shape = _shape(rows) if rows else []

    def fits(self, rows: Rows) -> bool:
        """Whether rows can be added."""
        return self._shape == _shape(rows)

    def add(self, time: int, rows: Rows) -> None:
        """Adds the rows of one record."""
        self._row_count += rows.row_count
        self._times.extend([time] * rows.row_count)
        for name, _, column in rows.columns:
            self._cells[name].extend(column)

    def write_to(self, series: SeriesColumns) -> None:
        """Fills a message."""
        series.metric = self.metric
        series.description = self.description
        series.MergeFromString(packed(_TIMES_FIELD, self._times))
        series.table.row_count = self._row_count
        for name, cells in self._cells.items():
            cells.write_to(series.table.columns.add(name=name))


class TooLarge(Exception):
    """The values of one record that no batch can hold."""

    def __init__(self, id_: int, value_count: int) -> None:
        super().__init__(f"{value_count} values of one record")
        self.id = id_
        self.value_count = value_count


class BatchBuilder:
    """Gathers the records of one batch. A series keeps its order, and has one more column whenever its kind changes."""

    def __init__(self, metrics: Mapping[int, str], tables: Collection[int] = ()) -> None:
        """Knows the names of the metrics, and which of them consist of rows."""
        self._metrics = metrics
        self._tables = tables
        self._columns: list[Columns | TableColumns] = []
        self._latest: dict[int, Columns | TableColumns] = {}
        self.size = 0
        """How many bytes the batch will about have on the wire."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to send."""
        return not self._columns

    def is_full(self, max_bytes: int) -> bool:
        """Whether it has `max_bytes` bytes, or as many columns as a batch may have."""
        return self.size >= max_bytes or len(self._columns) >= MAX_COLUMNS

    def add(self, type_: int, body: bytes) -> None:
        """Adds a DESCRIBE, VALUE, STEPPED, LIST or TABLE record.

        Raises:
            TooLarge: No batch can hold it.
            KeyError, ValueError, struct.error: It makes no sense although its checksum is right.
        """
        self.size += len(body) + POINT_BYTES
        if type_ == DESCRIBE:
            self._describe(*decode_text(body))
        elif type_ == TABLE:
            record = decode_rows(body)
            _check_size(len(body), record.id, record.rows.row_count)
            self._add_rows(record)
        elif type_ >= VALUE:
            values = decode_values(body)
            _check_size(len(body), values.id, values.value_count)
            self._add_values(values)

    def build(self, sequence: int, digest: bytes) -> MetricBatch:
        """The batch."""
        batch = MetricBatch(sequence=sequence, digest=digest)
        for columns in self._columns:
            columns.write_to(batch.series.add())
        return batch

    def _describe(self, id_: int, text: str) -> None:
        metric = self._metrics[id_]
        columns = TableColumns(metric, None) if id_ in self._tables else Columns(metric, NULL, has_steps=False)
        columns.description = text
        self._begin(id_, columns)

    def _add_values(self, values: Values) -> None:
        columns = self._latest.get(values.id)
        if not isinstance(columns, Columns) or not columns.fits(values):
            columns = Columns(self._metrics[values.id], values.kind, values.step is not None)
            self._begin(values.id, columns)
        columns.add(values)
        self.size += POINT_BYTES * (values.value_count - 1)

    def _add_rows(self, record: RowsRecord) -> None:
        columns = self._latest.get(record.id)
        if not isinstance(columns, TableColumns) or not columns.fits(record.rows):
            columns = TableColumns(self._metrics[record.id], record.rows)
            self._begin(record.id, columns)
            self.size += COLUMN_BYTES * len(record.rows.columns)
        columns.add(record.time, record.rows)
        self.size += POINT_BYTES * (record.rows.row_count - 1)

    def _begin(self, id_: int, columns: Columns | TableColumns) -> None:
        self.size += COLUMN_BYTES + len(columns.metric.encode())
        self._columns.append(columns)
        self._latest[id_] = columns


def _check_size(size: int, id_: int, value_count: int) -> None:
    if size + POINT_BYTES * value_count > MAX_RECORD_BYTES:
        raise TooLarge(id_, value_count)


def _shape(rows: Rows) -> list[tuple[str, int]]:
    return [(name, kind) for name, kind, _ in rows.columns]


def packed(field: int, numbers: Numbers) -> bytes:
    """A packed field of fixed-width numbers as it stands in a message: the same as filling it, several times faster."""
    data = little_endian(numbers)
    return _varint(field << 3 | _PACKED) + _varint(len(data)) + data if data else b""


def _varint(number: int) -> bytes:
    encoded = bytearray()
    while number > 0x7F:
        encoded.append(number & 0x7F | 0x80)
        number >>= 7
    encoded.append(number)
    return bytes(encoded)
