"""Batches: what is refused, what is put together, and how it is summarised."""

import math
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest

from runstream.api.metrics.v1.metrics_service_pb2 import (
    ARTIFACT_KIND_IMAGE,
    ARTIFACT_KIND_UNSPECIFIED,
    ArtifactKind,
    ArtifactValues,
    BoolValues,
    DoubleValues,
    Int64Values,
    NullValues,
    SeriesColumns,
    StringValues,
    TableColumn,
    TableValues,
)
from runstream_server.appendstreams import Append, AppendKey
from runstream_server.metrics.batches import check_batch
from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.convert import decode_columns, encode_points
from runstream_server.metrics.encoding import summarize
from runstream_server.metrics.grouping import SeriesGrowth, group_by_series
from runstream_server.metrics.model import Kind, MetricAppend, Points, Segment

DOUBLES = DoubleValues(values=[1.0, 2.0])


def table(row_count: int, *columns: TableColumn, metric: str = "m") -> SeriesColumns:
    values = TableValues(row_count=row_count, columns=columns)
    return SeriesColumns(metric=metric, times=range(row_count), table=values)


def artifact(kind: int, *paths: str, metric: str = "m") -> SeriesColumns:
    values = ArtifactValues(kind=cast("ArtifactKind.ValueType", kind), paths=paths)
    return SeriesColumns(metric=metric, times=range(len(paths)), artifacts=values)


def encode(*batches: Sequence[SeriesColumns]) -> tuple[Sequence[SeriesGrowth], list[tuple[str, str, int]]]:
    """What batches of one transaction do to each series, in order of name, and what is refused of them."""
    key = AppendKey("space", "run", "writer")
    checked = [check_batch(place, b"", decode_columns(series)) for place, series in enumerate(batches, 1)]
    appends: list[MetricAppend] = [
        Append(key, 1, place, place + 1, 1, batch.payload) for place, batch in enumerate(checked)
    ]
    refusals = [(each.metric, each.reason, each.count) for batch in checked for each in batch.refusals]
    return group_by_series(appends), refusals


def points_of(growth: SeriesGrowth) -> list[Points]:
    return [decode_points(chunk.data) for chunk in growth.chunks]


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
        (table(2, TableColumn(name="c", doubles=DOUBLES), TableColumn(name="d")), "UNEQUAL_COLUMNS", 2),
        (table(2, TableColumn(name="c", nulls=NullValues(count=3))), "UNEQUAL_COLUMNS", 2),
        (table(3, TableColumn(name="c", doubles=DOUBLES)), "UNEQUAL_COLUMNS", 3),
        (SeriesColumns(metric="m", times=[1], table=TableValues(row_count=2)), "UNEQUAL_COLUMNS", 1),
        (SeriesColumns(metric="m", table=TableValues(row_count=-1)), "UNEQUAL_COLUMNS", 0),
        (table(2, TableColumn(doubles=DOUBLES)), "INVALID_NAME", 2),
        (table(2, TableColumn(name="\0", doubles=DOUBLES)), "INVALID_NAME", 2),
        (table(2, TableColumn(name="x" * 256, doubles=DOUBLES)), "INVALID_NAME", 2),
        (table(2, *[TableColumn(name="c", doubles=DOUBLES)] * 2), "INVALID_NAME", 2),
        (table(1, TableColumn(name="c", strings=StringValues(values=["x" * 10_001]))), "TEXT_TOO_LONG", 1),
        (table(0, *(TableColumn(name=f"c{n}", nulls=NullValues()) for n in range(251))), "TOO_MANY_COLUMNS", 0),
        (artifact(ARTIFACT_KIND_UNSPECIFIED, "path"), "UNSTORABLE", 1),
        (artifact(6, "path"), "UNSTORABLE", 1),
        (artifact(ARTIFACT_KIND_IMAGE), "NO_VALUES", 0),
        (artifact(ARTIFACT_KIND_IMAGE, ""), "INVALID_TEXT", 1),
        (artifact(ARTIFACT_KIND_IMAGE, "a\0b"), "INVALID_TEXT", 1),
        (artifact(ARTIFACT_KIND_IMAGE, "path", "x" * 1_025), "TEXT_TOO_LONG", 2),
    ],
)
def test_a_bad_column_is_refused_by_itself(columns: SeriesColumns, reason: str, count: int) -> None:
    before = SeriesColumns(metric="before", times=[1, 2], doubles=DOUBLES)
    behind = SeriesColumns(metric="behind", times=[1, 2], doubles=DOUBLES)
    growths, refusals = encode([before, columns, behind])

    assert [growth.metric for growth in growths] == ["before", "behind"]
    assert refusals == [(columns.metric[:255], reason, count)]


def test_what_just_keeps_its_limits_is_stored() -> None:
    growths, refusals = encode(
        [
            SeriesColumns(metric="empty", nulls=NullValues(count=0)),
            SeriesColumns(metric="s", times=[1], strings=StringValues(values=["x" * 10_000])),
            SeriesColumns(metric="x" * 255, times=[1, 2], doubles=DOUBLES, description="x" * 5_000),
            artifact(ARTIFACT_KIND_IMAGE, "x" * 1_024, metric="artifact"),
            table(0, *(TableColumn(name=f"{n:0>255}", nulls=NullValues()) for n in range(250)), metric="table"),
        ]
    )

    assert refusals == []
    assert [(growth.metric[:8], growth.summary.count) for growth in growths] == [
        ("artifact", 1),
        ("empty", 0),
        ("s", 1),
        ("table", 0),
        ("xxxxxxxx", 2),
    ]
    assert growths[1].chunks == growths[3].chunks == []


def test_series_beyond_the_ten_thousandth_are_refused_together() -> None:
    growths, refusals = encode(
        [SeriesColumns(metric=f"m{n}", times=[1], nulls=NullValues(count=1)) for n in range(10_003)]
    )

    assert len(growths) == 10_000
    assert refusals == [("m10000", "TOO_MANY_SERIES", 3)]


def test_what_one_transaction_appends_to_a_series_becomes_one_chunk_in_its_order() -> None:
    (other, growth), _ = encode(
        [
            SeriesColumns(metric="z", times=[1, 2], doubles=DOUBLES),
            SeriesColumns(metric="other", times=[1, 2], doubles=DOUBLES),
            SeriesColumns(metric="z", times=[3], doubles=DoubleValues(values=[3.0])),
            SeriesColumns(metric="z", nulls=NullValues()),
        ],
        [SeriesColumns(metric="z", times=[4], strings=StringValues(values=["four"]))],
        [SeriesColumns(metric="z", times=[5], strings=StringValues(values=["five"]))],
        [SeriesColumns(metric="z", times=[6], bools=BoolValues(values=[True]))],
    )

    (points,) = points_of(growth)
    assert points.steps is None
    assert points.times.tolist() == [1, 2, 3, 4, 5, 6]
    assert [(segment.kind, segment.count) for segment in points.segments] == [
        (Kind.DOUBLE, 3),
        (Kind.STRING, 2),
        (Kind.BOOL, 1),
    ]
    assert points.segments[1].strings == ["four", "five"]
    assert (growth.summary.count, growth.summary.last, growth.summary.max) == (6, 3.0, 3.0)
    assert other.summary.count == 2


def test_many_and_few_values_of_a_series_keep_their_order() -> None:
    count = 3_000
    many = SeriesColumns(metric="m", times=range(count), doubles=DoubleValues(values=range(count)))
    few = SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES)
    (growth,), _ = encode([few], [few, many], [many], *[[few]] * 10)

    assert [points.count for points in points_of(growth)] == [4, count, count, 20]
    assert growth.summary.count == 2 * count + 24


def test_what_is_joined_stays_below_a_bound() -> None:
    (growth,), _ = encode(*[[SeriesColumns(metric="m", times=range(1_000), nulls=NullValues(count=1_000))]] * 40)

    assert sum(points.count for points in points_of(growth)) == 40_000
    assert max(points.count for points in points_of(growth)) <= 16_384


def test_columns_with_and_without_steps_keep_their_order() -> None:
    (growth,), _ = encode(
        [
            SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES),
            SeriesColumns(metric="m", times=[3, 4], steps=[9, 7], doubles=DOUBLES),
            SeriesColumns(metric="m", times=[5, 6], doubles=DOUBLES),
        ]
    )

    chunks = points_of(growth)
    assert [None if each.steps is None else each.steps.tolist() for each in chunks] == [None, [9, 7], None]
    assert [time for each in chunks for time in each.times.tolist()] == [1, 2, 3, 4, 5, 6]


def test_the_first_description_is_kept() -> None:
    (growth,), _ = encode(
        [SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES)],
        [
            SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="first"),
            SeriesColumns(metric="m", times=[1, 2], doubles=DOUBLES, description="second"),
        ],
    )

    assert growth.description == "first"


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
    segment = Segment(Kind.DOUBLE, len(values), np.array(values))
    summary = summarize(Points(None, np.arange(len(values)), [segment]))

    assert summary.last == pytest.approx(last, nan_ok=True)
    assert (summary.min, summary.max) == (least, greatest)


def test_only_numbers_have_extremes() -> None:
    (numbers, texts), _ = encode(
        [
            SeriesColumns(metric="m", times=[1], int64s=Int64Values(values=[-(2**63)])),
            SeriesColumns(metric="m", times=[1], bools=BoolValues(values=[True])),
            SeriesColumns(metric="m", times=[1], strings=StringValues(values=["9"])),
            SeriesColumns(metric="n", times=[1], strings=StringValues(values=["9"])),
        ]
    )

    summary = numbers.summary
    assert (summary.count, summary.last, summary.min, summary.max) == (3, -(2.0**63), -(2.0**63), -(2.0**63))
    assert (texts.summary.count, texts.summary.last, texts.summary.min, texts.summary.max) == (1, None, None, None)


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
