"""Makes columns for the wire out of records of a spool."""

from array import array
from typing import Final

from runstream._spool.format import BOOL, DESCRIBE, DOUBLE, INT64, NULL, TEXT, VALUE
from runstream._spool.records import Column, Numbers, Values, decode_text, decode_values, little_endian
from runstream.api.metrics.v1.metrics_service_pb2 import MetricBatch, SeriesColumns

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


class Columns:
    """Consecutive values of one series: of one kind, and all with a step or all without."""

    def __init__(self, metric: str, kind: int, has_steps: bool) -> None:
        self.metric = metric
        self.kind = kind
        self.has_steps = has_steps
        self.description = ""
        self._steps = array("q")
        self._times = array("q")
        self._numbers: Numbers = array("d" if kind == DOUBLE else "B" if kind == BOOL else "q")
        self._texts: list[str] = []
        self._null_count = 0

    def add(self, values: Values) -> None:
        """Adds the values of one record."""
        self._times.extend([values.time] * values.value_count)
        if values.step is not None:
            self._steps.append(values.step)
        self._add_column(values.column)

    def write_to(self, series: SeriesColumns) -> None:
        """Fills a message."""
        series.metric = self.metric
        series.description = self.description
        series.MergeFromString(packed(_STEPS_FIELD, self._steps) + packed(_TIMES_FIELD, self._times))
        if self.kind == DOUBLE:
            series.doubles.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self.kind == INT64:
            series.int64s.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self.kind == BOOL:
            series.bools.MergeFromString(packed(_VALUES_FIELD, self._numbers))
        elif self.kind == TEXT:
            series.strings.values.extend(self._texts)
        else:
            series.nulls.count = self._null_count

    def _add_column(self, column: Column) -> None:
        if isinstance(column, int):
            self._null_count += column
        elif isinstance(column, list):
            self._texts.extend(column)
        else:
            self._numbers.extend(column)  # type: ignore[arg-type]  # both are of the kind


class TooLarge(Exception):
    """The values of one record that no batch can hold."""

    def __init__(self, values: Values) -> None:
        super().__init__(f"{values.value_count} values of one record")
        self.id = values.id
        self.value_count = values.value_count


class BatchBuilder:
    """Gathers the records of one batch. A series keeps its order, and has one more column whenever its kind changes."""

    def __init__(self, metrics: dict[int, str]) -> None:
        self._metrics = metrics
        self._columns: list[Columns] = []
        self._latest: dict[int, Columns] = {}
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
        """Adds a DESCRIBE, VALUE, STEPPED or LIST record.

        Raises:
            TooLarge: No batch can hold it.
            KeyError, ValueError, struct.error: It makes no sense although its checksum is right.
        """
        self.size += len(body) + POINT_BYTES
        if type_ == DESCRIBE:
            id_, text = decode_text(body)
            columns = self._begin(id_, NULL, has_steps=False)
            columns.description = text
        elif type_ >= VALUE:
            values = decode_values(body)
            if len(body) + POINT_BYTES * values.value_count > MAX_RECORD_BYTES:
                raise TooLarge(values)
            self._add_values(values)

    def build(self, sequence: int, digest: bytes) -> MetricBatch:
        """The batch."""
        batch = MetricBatch(sequence=sequence, digest=digest)
        for columns in self._columns:
            columns.write_to(batch.series.add())
        return batch

    def _add_values(self, values: Values) -> None:
        has_steps = values.step is not None
        columns = self._latest.get(values.id)
        if columns is None or columns.kind != values.kind or columns.has_steps != has_steps:
            columns = self._begin(values.id, values.kind, has_steps)
        columns.add(values)
        self.size += POINT_BYTES * (values.value_count - 1)

    def _begin(self, id_: int, kind: int, has_steps: bool) -> Columns:
        columns = Columns(self._metrics[id_], kind, has_steps)
        self.size += COLUMN_BYTES + len(columns.metric.encode())
        self._columns.append(columns)
        self._latest[id_] = columns
        return columns


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
