"""Batches that are told by their bytes: what is recognised is what parsing finds, and stored as the same bytes."""

import struct
from collections.abc import Sequence
from typing import cast

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.api.metrics.v1.metrics_service_pb2 import DoubleValues, MetricBatch, SeriesColumns, WriteMetricsRequest
from runstream_server.metrics.batches import check_batch
from runstream_server.metrics.chunks import encode_points
from runstream_server.metrics.convert import decode_columns
from runstream_server.metrics.layouts import MAX_COUNT
from runstream_server.metrics.model import Kind, KnownBatch, Points, Segment
from runstream_server.metrics.recognition import Recogniser
from runstream_server.metrics.short_curves import decode_short_curves, encode_short_curves

DIGEST = bytes(range(32))
NAMES = ("loss", "loss/größe", "a" * 200)
NUMBERS = st.floats(allow_nan=False)
INT64 = st.integers(-(2**63), 2**63 - 1)


def message(
    counts: Sequence[int],
    *,
    sequence: int = 1,
    first: int = 0,
    has_steps: bool = True,
    digest: bytes = DIGEST,
    names: Sequence[str] = NAMES,
) -> bytes:
    series = [
        SeriesColumns(
            metric=name,
            steps=range(first, first + count) if has_steps else (),
            times=range(first + 10, first + 10 + count),
            doubles=DoubleValues(values=[first + place / 7 for place in range(count)]),
        )
        for name, count in zip(names, counts, strict=True)
    ]
    batch = MetricBatch(sequence=sequence, digest=digest, series=series)
    return WriteMetricsRequest(batch=batch).SerializeToString()


def parsed(data: bytes) -> MetricBatch:
    return WriteMetricsRequest.FromString(data).batch


def learn(recogniser: Recogniser, data: bytes) -> None:
    batch = parsed(data)
    prepared = check_batch(batch.sequence, batch.digest, decode_columns(batch.series))
    recogniser.learn(data, batch.digest, prepared.payload.pieces)


def knowing(*messages: bytes) -> Recogniser:
    recogniser = Recogniser()
    for each in messages:
        learn(recogniser, each)
    return recogniser


def columns(batch: KnownBatch) -> dict[str, tuple[list[int] | None, list[int], bytes]]:
    """Steps, times and values of each series, these as bytes: NaN is not equal to itself."""
    result = {}
    for piece in batch.pieces:
        points = cast("Points", piece.content)
        steps = None if points.steps is None else points.steps.tolist()
        result[piece.metric] = steps, points.times.tolist(), points.segments[0].array.tobytes()
    return result


def columns_of(batch: MetricBatch) -> dict[str, tuple[list[int] | None, list[int], bytes]]:
    return {
        each.metric: (
            list(each.steps) or None,
            list(each.times),
            struct.pack(f"<{len(each.doubles.values)}d", *each.doubles.values),
        )
        for each in batch.series
    }


@pytest.mark.parametrize("has_steps", [True, False])
@pytest.mark.parametrize("digest", [DIGEST, b""])
@pytest.mark.parametrize("counts", [(1, 1, 1), (3, 3, 3), (64, 64, 64), (1, 2, 1)])
def test_other_numbers_of_the_same_metrics_are_recognised(
    counts: Sequence[int], digest: bytes, has_steps: bool
) -> None:
    first = message(counts, has_steps=has_steps, digest=digest)
    recogniser = knowing(first, first)
    later = message(counts, sequence=70_000, first=1 << 40, has_steps=has_steps, digest=digest)

    recognised = recogniser.read(later)

    assert recognised is not None
    sequence, batch = recognised
    assert (sequence, batch.digest) == (70_000, digest)
    assert columns(batch) == columns_of(parsed(later))


@pytest.mark.parametrize("count", [1, 2, 5, 6, 7, 30, MAX_COUNT])
def test_more_or_fewer_values_of_known_metrics_are_recognised_at_once(count: int) -> None:
    later = message([count] * 3, sequence=2)

    recognised = knowing(message([6] * 3)).read(later)

    assert recognised is not None
    assert columns(recognised[1]) == columns_of(parsed(later))


@pytest.mark.parametrize(
    "data",
    [
        message((65, 65, 65)),
        message((1, 1, 1), names=("a", "b", "a")),
        WriteMetricsRequest(
            batch=MetricBatch(
                sequence=1,
                series=[SeriesColumns(metric="m", times=[1], doubles=DoubleValues(values=[1.0]), description="d")],
            )
        ).SerializeToString(),
        WriteMetricsRequest(batch=MetricBatch(sequence=1)).SerializeToString(),
        message((1, 1, 1), digest=b"short"),
        b"",
        b"\x12",
        b"\x12\xff",
    ],
)
def test_what_is_no_few_numbers_of_each_of_several_metrics_is_not(data: bytes) -> None:
    recogniser = Recogniser()
    if data[2:]:
        learn(recogniser, data)
        learn(recogniser, data)

    assert recogniser.read(data) is None


@pytest.mark.parametrize(
    ("series", "width", "count", "is_known"),
    [(20, 180, 1, True), (21, 180, 1, False), (32, 9, 64, True), (33, 9, 64, False)],
)
def test_what_is_remembered_of_a_writer_is_bounded(series: int, width: int, count: int, is_known: bool) -> None:
    data = message([count] * series, names=[f"{number:0{width}}" for number in range(series)])

    assert (knowing(data).read(data) is not None) is is_known


@given(st.data())
def test_whatever_bytes_change_what_is_recognised_is_what_parsing_finds(data: st.DataObject) -> None:
    recogniser = knowing(message((2, 2, 2), names=("a", "b", "c")))
    changed = bytearray(message((2, 2, 2), sequence=300, names=("a", "b", "c")))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))

    recognised = recogniser.read(bytes(changed))

    if recognised is not None:
        batch = parsed(bytes(changed))
        assert recognised[0] == batch.sequence
        assert recognised[1].digest == batch.digest
        assert columns(recognised[1]) == columns_of(batch)


@given(
    st.lists(st.lists(st.tuples(INT64, INT64, NUMBERS), min_size=4, max_size=4), min_size=1, max_size=5),
    st.sampled_from([1, 2, 4, 16, 64]),
    st.booleans(),
)
def test_many_short_curves_become_the_same_bytes_as_each_by_itself(
    rows: list[list[tuple[int, int, float]]], count: int, has_steps: bool
) -> None:
    wide = [(of_row * 16)[:count] for of_row in rows]
    steps, times = (np.array([[each[place] for each in of_row] for of_row in wide], np.int64) for place in (0, 1))
    values = np.array([[each[2] for each in of_row] for of_row in wide])

    encoded = encode_short_curves(steps if has_steps else None, times, values)

    curves = [
        Points(of_steps if has_steps else None, of_times, (Segment(Kind.DOUBLE, count, of_values),))
        for of_steps, of_times, of_values in zip(steps, times, values, strict=True)
    ]
    assert list(encoded) == [encode_points(each) for each in curves]
    assert [content(each) for each in decode_short_curves(encoded)] == [content(each) for each in curves]


def test_chunks_that_are_no_short_curves_or_damaged_are_left_to_others() -> None:
    short, long = (
        Points(None, np.arange(count), (Segment(Kind.DOUBLE, count, np.arange(count) / 7),)) for count in (3, 65)
    )
    truth = Points(None, np.arange(3), (Segment(Kind.BOOL, 3, np.array([True, False, True])),))
    sound = encode_points(short)
    damaged = [
        sound[:place] + bytes((sound[place] ^ bit,)) + sound[place + 1 :]
        for place in range(len(sound))
        for bit in (1, 128)
    ]

    decoded = decode_short_curves([encode_points(long), sound, encode_points(truth), b"", *damaged, sound[:-1]])

    assert [place for place, points in enumerate(decoded) if points] == [1]
    assert content(decoded[1]) == content(short)


def content(points: Points | None) -> tuple[object, ...]:
    assert points is not None
    steps = None if points.steps is None else points.steps.tolist()
    return steps, points.times.tolist(), points.segments[0].array.tobytes()
