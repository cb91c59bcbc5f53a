"""Batches: what is refused, what is put together, and how it is summarised."""

import math

import numpy as np
import pytest

from runstream.api.metrics.v1.metrics_service_pb2 import (
    BoolValues,
    DoubleValues,
    Int64Values,
    NullValues,
    SeriesColumns,
    StringValues,
)
from runstream_server.metrics.batches import encode_batch, summarize
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.convert import decode_pieces, encode_points
from runstream_server.metrics.model import EncodedBatch, Kind, Points, Segment

DOUBLES = DoubleValues(values=[1.0, 2.0])


def encode(*series: SeriesColumns) -> tuple[EncodedBatch, list[tuple[str, str, int]]]:
    batch, refusals = encode_batch(1, b"", decode_pieces(series))
    return batch, [(refusal.metric, refusal.reason, refusal.count) for refusal in refusals]


@pytest.mark.parametrize(
    ("columns", "reason", "count"),
    [
        (SeriesColumns(metric="", times=[1, 2], doubles=DOUBLES), "INVALID_NAME", 2),
        (SeriesColumns(metric="x" * 256, times=[1, 2], doubles=DOUBLES), "INVALID_NAME", 2),
        (SeriesColumns(metric="a\0b", times=[1, 2], doubles=DOUBLES), "INVALID_NAME", 2),
        (SeriesColumns(metric="m", times=[1], doubles=DOUBLES), "UNEQUAL_COLUMNS", 2),
        (SeriesColumns(metric="m", times=[1, 2], steps=[1], doubles=DOUBLES), "UNEQUAL_COLUMNS", 2),
        (SeriesColumns(metric="m", times=[1, 2], nulls=NullValues(count=3)), "UNEQUAL_COLUMNS", 2),
        (SeriesColumns(metric="m", times=[1], nulls=NullValues(count=-1)), "UNEQUAL_COLUMNS", 1),
        (SeriesColumns(metric="m", times=[1, 2]), "NO_VALUES", 2),
        (SeriesColumns(metric="m", doubles=DoubleValues()), "NO_VALUES", 0),
        (SeriesColumns(metric="m", times=[1], strings=StringValues(values=["x" * 10_001])), "TEXT_TOO_LONG", 1),
        (SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="x" * 5_001), "TEXT_TOO_LONG", 2),
        (SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="\0"), "INVALID_TEXT", 2),
    ],
)
def test_a_bad_column_is_refused_by_itself(columns: SeriesColumns, reason: str, count: int) -> None:
    batch, refusals = encode(
        SeriesColumns(metric="before", times=[1, 2], doubles=DOUBLES),
        columns,
        SeriesColumns(metric="behind", times=[1, 2], doubles=DOUBLES),
    )

    assert [series.metric for series in batch.series] == ["before", "behind"]
    assert refusals == [(columns.metric[:255], reason, count)]


def test_what_just_keeps_its_limits_is_stored() -> None:
    batch, refusals = encode(
        SeriesColumns(metric="x" * 255, times=[1, 2], doubles=DOUBLES, description="x" * 5_000),
        SeriesColumns(metric="s", times=[1], strings=StringValues(values=["x" * 10_000])),
        SeriesColumns(metric="empty", nulls=NullValues(count=0)),
    )

    assert refusals == []
    assert [series.summary.count for series in batch.series] == [2, 1, 0]
    assert batch.series[2].chunks == []


def test_series_beyond_the_ten_thousandth_are_refused() -> None:
    batch, refusals = encode(
        *(SeriesColumns(metric=f"m{n}", times=[1], nulls=NullValues(count=1)) for n in range(10_001))
    )

    assert len(batch.series) == 10_000
    assert refusals == [("m10000", "TOO_MANY_SERIES", 1)]


def test_columns_of_one_series_become_one_chunk_in_their_order() -> None:
    batch, _ = encode(
        SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES),
        SeriesColumns(metric="other", times=[1, 2], doubles=DOUBLES),
        SeriesColumns(metric="m", times=[3], strings=StringValues(values=["three"])),
        SeriesColumns(metric="m", times=[4], bools=BoolValues(values=[True])),
    )

    (chunk,) = batch.series[0].chunks
    points = decode_points(chunk.data)
    assert points.steps is None
    assert points.times.tolist() == [1, 2, 3, 4]
    assert [segment.kind for segment in points.segments] == [Kind.DOUBLE, Kind.STRING, Kind.BOOL]


def test_columns_with_and_without_steps_keep_their_order() -> None:
    batch, _ = encode(
        SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES),
        SeriesColumns(metric="m", times=[3, 4], steps=[9, 7], doubles=DOUBLES),
        SeriesColumns(metric="m", times=[5, 6], doubles=DOUBLES),
    )

    chunks = [decode_points(chunk.data) for chunk in batch.series[0].chunks]
    assert [None if each.steps is None else each.steps.tolist() for each in chunks] == [None, [9, 7], None]
    assert [time for each in chunks for time in each.times.tolist()] == [1, 2, 3, 4, 5, 6]


def test_the_first_description_is_kept() -> None:
    batch, _ = encode(
        SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES),
        SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="first"),
        SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="second"),
    )

    assert batch.series[0].description == "first"


@pytest.mark.parametrize(
    ("values", "last", "least", "greatest"),
    [
        ([1.0, math.nan, 3.0, math.nan], math.nan, 1.0, 3.0),
        ([math.nan], math.nan, None, None),
        ([math.inf, -math.inf, 2.0], 2.0, -math.inf, math.inf),
    ],
)
def test_extremes_ignore_nan_and_the_last_value_does_not(
    values: list[float], last: float, least: float | None, greatest: float | None
) -> None:
    summary = summarize(Segment(Kind.DOUBLE, len(values), np.array(values)))

    assert summary.last == pytest.approx(last, nan_ok=True)
    assert (summary.min, summary.max) == (least, greatest)


def test_only_numbers_have_extremes() -> None:
    batch, _ = encode(
        SeriesColumns(metric="m", times=[1], int64s=Int64Values(values=[-(2**63)])),
        SeriesColumns(metric="m", times=[1], bools=BoolValues(values=[True])),
        SeriesColumns(metric="m", times=[1], strings=StringValues(values=["9"])),
        SeriesColumns(metric="n", times=[1], strings=StringValues(values=["9"])),
    )

    numbers, texts = (series.summary for series in batch.series)
    assert (numbers.count, numbers.last, numbers.min, numbers.max) == (3, -(2.0**63), -(2.0**63), -(2.0**63))
    assert (texts.count, texts.last, texts.min, texts.max) == (1, None, None, None)


@pytest.mark.parametrize(
    ("segment", "columns"),
    [
        (Segment(Kind.DOUBLE, 2, np.array([1.5, -0.0])), SeriesColumns(doubles=DoubleValues(values=[1.5, -0.0]))),
        (Segment(Kind.INT64, 2, np.array([-1, 2**62])), SeriesColumns(int64s=Int64Values(values=[-1, 2**62]))),
        (Segment(Kind.BOOL, 2, np.array([True, False])), SeriesColumns(bools=BoolValues(values=[True, False]))),
        (Segment(Kind.STRING, 2, ["a", ""]), SeriesColumns(strings=StringValues(values=["a", ""]))),
        (Segment(Kind.NULL, 2, None), SeriesColumns(nulls=NullValues(count=2))),
    ],
)
def test_filling_a_message_fast_makes_the_same_message(segment: Segment, columns: SeriesColumns) -> None:
    columns.steps.extend([7, -7])
    columns.times.extend([1, 2**62])
    message = SeriesColumns()
    encode_points(message, Points(np.array([7, -7]), np.array([1, 2**62]), [segment]), 0)

    assert message == columns


def test_points_without_steps_get_their_indexes() -> None:
    message = SeriesColumns()
    encode_points(message, Points(None, np.array([1, 2]), [Segment(Kind.NULL, 2, None)]), 40)

    assert list(message.steps) == [40, 41]
