"""Rows: converted, written and read back, and made into columns for the wire."""

from array import array
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream._spool.format import BOOL, DESCRIBE, DOUBLE, INT64, NULL, TEXT
from runstream._spool.records import record_at, text_record
from runstream._spool.rows import PIECE_BYTES, convert_row, convert_table
from runstream._spool.tables import Cells, Rows, decode_rows, rows_record
from runstream._uplink.batches import BatchBuilder
from runstream.api.metrics.v1.metrics_service_pb2 import MetricBatch
from runstream.exceptions import AzureMLException, UserErrorException

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
cells = st.one_of(st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), texts)


def build(*records: bytes) -> MetricBatch:
    builder = BatchBuilder({1: "table", 2: "other"}, {1, 2})
    for record in records:
        builder.add(record[8], record[8:])
    return builder.build(1, b"")


def table_of(batch: MetricBatch) -> dict[str, list[object]]:
    """The rows of the series `table`, put together as a reader does."""
    found: dict[str, list[object]] = {}
    for series in batch.series:
        assert series.metric == "table"
        for column in series.table.columns:
            kind = column.WhichOneof("cells")
            values = [None] * column.nulls.count if kind in (None, "nulls") else list(getattr(column, str(kind)).values)
            assert len(values) == series.table.row_count == len(series.times)
            found.setdefault(column.name, []).extend(values)
    return found


@given(st.dictionaries(texts.filter(bool), cells, min_size=1, max_size=6))
def test_a_row_is_read_as_written(row: dict[str, object]) -> None:
    (rows,) = convert_row(row).pieces

    record = record_at(rows_record(7, 12, rows), 0, 0)

    assert record is not None
    assert decode_rows(record.body) == (7, 12, rows)
    assert table_of(build(rows_record(1, 12, rows))) == {name: [value] for name, value in row.items()}


@given(
    st.integers(1, 30).flatmap(
        lambda count: st.dictionaries(
            st.sampled_from("abcd"), st.lists(cells, min_size=count, max_size=count), min_size=1
        )
    )
)
def test_a_table_keeps_every_cell_and_its_type(table: dict[str, list[Any]]) -> None:
    expected = {name: _promoted(values) for name, values in table.items()}

    stored = table_of(build(*(rows_record(1, 5, rows) for rows in convert_table(table).pieces)))

    assert stored == expected
    assert {name: list(map(type, values)) for name, values in stored.items()} == {
        name: list(map(type, values)) for name, values in expected.items()
    }


def _promoted(values: list[Any]) -> list[Any]:
    """Integers are doubles in a column of numbers with a double in it."""
    types = {type(value) for value in values} - {type(None)}
    return [float(value) if type(value) is int else value for value in values] if types == {int, float} else values


def test_columns_are_lists_tuples_arrays_series_and_scalars() -> None:
    class Frame:
        """A data frame, as far as this goes."""

        columns = ("x",)

        def items(self) -> list[tuple[str, object]]:
            return [("x", np.array([1, 2]))]

    table = convert_table({"a": [1, 2], "b": (1.5, 2.5), "c": np.array([1, 2], "int32"), "d": np.array([True, False])})

    assert table_of(build(*(rows_record(1, 5, rows) for rows in table.pieces))) == {
        "a": [1, 2],
        "b": [1.5, 2.5],
        "c": [1, 2],
        "d": [True, False],
    }
    assert convert_table({"a": 1, "b": "text"}).pieces[0].row_count == 1
    assert convert_table(Frame()).pieces[0].row_count == 2


def test_a_table_without_rows_keeps_its_columns() -> None:
    assert convert_table({"a": [], "b": []}).pieces == [Rows(0, [Cells("a", NULL, 0), Cells("b", NULL, 0)])]


@pytest.mark.parametrize("value", [{}, [1], "text", {1: [1]}])
def test_what_is_no_table_is_refused(value: Any) -> None:
    with pytest.raises(UserErrorException):
        convert_table(value)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(AzureMLException, match="different lengths: 'a' has 1, 'b' has 2"):
        convert_table({"a": [1], "b": [1, 2]})


@pytest.mark.parametrize("cell", [{}, (1, 2), {1}, range(2), (x for x in "a"), np.array([1, 2])])
def test_containers_are_not_supported_in_rows(cell: object) -> None:
    with pytest.raises(AzureMLException, match=r"'x' .*not supported"):
        convert_row({"x": cell})


def test_rows_cannot_contain_lists() -> None:
    with pytest.raises(AzureMLException, match="cannot contain list values: column 'x'"):
        convert_row({"y": 1, "x": [1]})
    with pytest.raises(AzureMLException, match="cannot contain list values: column 'x'"):
        convert_table({"x": [1, [2]]})


def test_a_row_has_a_column() -> None:
    with pytest.raises(UserErrorException):
        convert_row({})


def test_a_cell_that_was_changed_is_told() -> None:
    assert convert_row({"x": 2**64}).notes == [
        "column 'x': an integer has more than 64 bits and is stored as a floating-point number"
    ]


@pytest.mark.parametrize("column", [list(range(100_000)), ["a" * 1_000] * 1_000, [None] * 30_000])
def test_a_long_table_becomes_several_records(column: list[Any]) -> None:
    pieces = convert_table({"x": column}).pieces

    assert len(pieces) > 1
    assert max(len(rows_record(1, 0, rows)) for rows in pieces) < PIECE_BYTES + 2_000
    assert table_of(build(*(rows_record(1, 5, rows) for rows in pieces))) == {"x": column}


def test_alike_rows_are_one_column_set_and_others_begin_a_new_one() -> None:
    rows: list[dict[str, object]] = [{"x": 1.5, "y": 1}, {"x": 2.5, "y": 2}, {"x": 3.5, "y": None}, {"y": 3, "x": 4.5}]

    batch = build(*(rows_record(1, time, convert_row(row).pieces[0]) for time, row in enumerate(rows)))

    assert [series.table.row_count for series in batch.series] == [2, 1, 1]
    assert [list(series.times) for series in batch.series] == [[0, 1], [2], [3]]


def test_the_description_of_a_table_comes_as_rows() -> None:
    (series,) = build(text_record(DESCRIBE, 1, b"how wrong it is")).series

    assert (series.WhichOneof("values"), series.description, len(series.times)) == ("table", "how wrong it is", 0)


def test_every_kind_has_a_column() -> None:
    kinds = {
        name: kind
        for name, kind, _ in convert_row({"d": 1.5, "i": 1, "b": True, "t": "x", "n": None}).pieces[0].columns
    }

    assert kinds == {"d": DOUBLE, "i": INT64, "b": BOOL, "t": TEXT, "n": NULL}
    assert convert_row({"d": 1.5}).pieces[0].columns[0].column == array("d", [1.5])
