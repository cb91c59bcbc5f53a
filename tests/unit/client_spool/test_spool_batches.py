"""Batches made of records: the same as filled in the readable way."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from runstream._spool.format import BOOL, DESCRIBE, DOUBLE, INT64, NULL, TEXT
from runstream._spool.records import double_record, list_record, text_record, value_record
from runstream._uplink.batches import MAX_COLUMNS, BatchBuilder, packed
from runstream.api.metrics.v1.metrics_service_pb2 import Int64Values, MetricBatch, SeriesColumns

METRICS = {1: "loss", 2: "accuracy"}


def build(*records: bytes) -> MetricBatch:
    builder = BatchBuilder(METRICS)
    for record in records:
        builder.add(record[8], record[8:])
    return builder.build(5, b"digest")


@given(numbers=st.lists(st.integers(-(2**63), 2**63 - 1), max_size=300))
def test_a_packed_field_is_what_filling_it_makes(numbers: list[int]) -> None:
    assert Int64Values.FromString(packed(1, array("q", numbers))) == Int64Values(values=numbers)


def test_a_batch_has_a_column_per_series_in_order() -> None:
    batch = build(double_record(1, 10, 0.5), double_record(2, 11, 0.25), double_record(1, 12, 0.75))

    assert (batch.sequence, batch.digest) == (5, b"digest")
    assert list(batch.series) == [
        SeriesColumns(metric="loss", times=[10, 12], doubles={"values": [0.5, 0.75]}),  # type: ignore[arg-type]
        SeriesColumns(metric="accuracy", times=[11], doubles={"values": [0.25]}),  # type: ignore[arg-type]
    ]


def test_a_change_of_kind_or_of_steps_begins_new_columns() -> None:
    batch = build(
        value_record(INT64, 1, 10, None, 7),
        value_record(DOUBLE, 1, 11, None, 0.5),
        value_record(DOUBLE, 1, 12, 3, 1.5),
        value_record(BOOL, 1, 13, 4, True),
        value_record(TEXT, 1, 14, None, "text"),
        value_record(NULL, 1, 15, None, None),
        value_record(NULL, 1, 16, None, None),
    )

    assert [column.WhichOneof("values") for column in batch.series] == [
        "int64s",
        "doubles",
        "doubles",
        "bools",
        "strings",
        "nulls",
    ]
    assert [list(column.steps) for column in batch.series] == [[], [], [3], [4], [], []]
    assert [list(column.times) for column in batch.series] == [[10], [11], [12], [13], [14], [15, 16]]
    assert batch.series[5].nulls.count == 2


def test_all_values_of_a_list_have_its_time() -> None:
    batch = build(list_record(INT64, 1, 10, array("q", [1, 2, 3])), list_record(TEXT, 2, 11, ["a", "b"]))

    assert list(batch.series[0].times) == [10, 10, 10]
    assert list(batch.series[0].int64s.values) == [1, 2, 3]
    assert list(batch.series[1].strings.values) == ["a", "b"]


def test_an_empty_list_makes_a_column_without_values() -> None:
    (column,) = build(list_record(NULL, 1, 10, 0)).series

    assert column.WhichOneof("values") == "nulls"
    assert (column.nulls.count, len(column.times)) == (0, 0)


def test_a_description_goes_with_a_column_of_its_own() -> None:
    batch = build(text_record(DESCRIBE, 1, b"how wrong it is"), double_record(1, 10, 0.5))

    assert [(column.metric, column.description) for column in batch.series] == [
        ("loss", "how wrong it is"),
        ("loss", ""),
    ]


def test_a_batch_is_full_at_its_bounds() -> None:
    builder = BatchBuilder(METRICS)
    for index in range(MAX_COLUMNS):
        assert not builder.is_full(2**62)
        record = value_record(DOUBLE if index % 2 else INT64, 1, index, None, index)
        builder.add(record[8], record[8:])

    assert builder.is_full(2**62)
    assert builder.size >= builder.build(1, b"").ByteSize()
