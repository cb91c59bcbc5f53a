"""The chunk format: exact to the last bit, small, and never silently wrong."""

from base64 import b64decode

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.chunks import decode_points, encode_points
from runstream_server.metrics.model import Kind, Points, Segment
from runstream_server.metrics.tables import Artifacts, Table, TableColumn

INT64 = st.integers(-(2**63), 2**63 - 1)
DOUBLE_BITS = st.integers(0, 2**64 - 1)
CELL_KINDS = (Kind.DOUBLE, Kind.INT64, Kind.BOOL, Kind.STRING, Kind.NULL)
TEXTS = st.text(max_size=50)
FORMAT_1 = (
    "ASgAAAAFAAAAAQMBAAAAAAAAAAcAAAAAAAAAAE4AAABOAAAAAAAMAB4ANgBUAHgAogDSAAgBRAGGAc4BHAJwAsoCKgOQA/wDbgTm"
    "BGQF6AVyBgIHmAc0CNYIfgksCuAKmgtaDCAN7A2+DpYPdBBYEUISBOhDHhgkCgYAuAsAAAAAAABCUQAAAJwAAAAotS/9AABFAgCU"
    "AwDQoHBAEOCwgFAg8MCQYDAABw8XHycuNj5GTlVdZW11fYSMlJykq7O7w8vS2uLq8voBCREZISgAAQUA4AKAAIQLHF5MPcEBHgAA"
    "AAKCwwAAAPAAAAAotS/9AADVBQBUCgAAVQCaVZIAHJpGVRSSEQAeHCiaGEZkVXsUaJKWEQAAVQCZVSQAx5kXVTskEQAex6+Zhhch"
    "VRQ7LyR7SQBxmV1VsUkRAB5xoZlhXQtVrrGhSRqSAByZdFUTkhEAHhy8mRh0WVVHE72SYSQAx5nRhpmG0chV4TuEJLlF8plhRUJV"
    "erH2SacR8ODV0MnFwsC8ube1s7KxsK6sqqmop6alpKOioqGhPwcAw90CnIDou+B04Frg2gZXQQECBAAAAAX//////////wYAAAAA"
    "AAAAABgAAAAYAAAAAAAAAAAAAAD1////////P/r///////8/AwIAAAAAAQAAAAEAAACABAIAAAABAgAAAAAAAAD+/////////wAC"
    "AAAAAgAAAMOpBQIAAAAwrEis"
)
FORMAT_2 = (
    "AgUAAAACAAAAAAEAAAAAAAAAAOgDAAAAAAAABgMAAAAFAAEAAWQCABgAAAAYAAAAAAAAAAAA+D8AAAAAAAAAgJx1AIg85Dd+AQAC"
    "aQUBAAAAAAAAAP3/////////ABAAAAAQAAAAAAAAAAAAAAAFAAAAAAAAQAEAA2IAAQAAAAEAAACgAgAEw6kCAQAAAAAAAAD/////"
    "/////wACAAAAAgAAAAAHAAcAAAAHAAAAYeaXpeacrAEABW4HAgAAAAQBCwAAAAAAAAD3/////////wANAAAADQAAAHBsb3RzL2Eu"
    "cG5nw6mloLp/"
)
FORMAT_3 = (
    "A0wEAAABAAAAAQIAAAAAAAAAAAAAAAAAAAAAE4wAAABLBAAAAAFAIBAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQCAQCgUAgEAgE"
    "AoFAIBAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQCAQCgUAgEAgEAoFAIBAIBAKBQCAQCAQC"
    "gUAgEAgEAoFAIBAIBAKBQCAQCAQCAEAeGCQKBgDkAwAAAAAAABMbAAAASwQAAAD/FQAAACi1L/0ACGUAACgFBQUFAAEAQ+AvWgFMBAAA"
    "AUM2AAAAMBEAAAAAAAAA/xMAAAAotS/9AAhVAAAYAACAAQBG+LshAP8TAAAAKLUv/QAIVQAAGAA/PwEARvi7IW97hp4="
)


def doubles(bits: list[int]) -> np.ndarray:
    return np.array(bits, np.uint64).view(np.float64)


def plain(draw: st.DrawFn, kind: Kind, count: int) -> Segment:
    match kind:
        case Kind.DOUBLE:
            return Segment(kind, count, doubles(draw(st.lists(DOUBLE_BITS, min_size=count, max_size=count))))
        case Kind.INT64:
            return Segment(kind, count, np.array(draw(st.lists(INT64, min_size=count, max_size=count)), np.int64))
        case Kind.BOOL:
            return Segment(kind, count, np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))))
        case Kind.STRING:
            return Segment(kind, count, draw(st.lists(TEXTS, min_size=count, max_size=count)))
        case _:
            return Segment(kind, count, None)


def table(draw: st.DrawFn, count: int) -> Table:
    names = draw(st.lists(TEXTS, max_size=4, unique=True))
    return Table(count, [TableColumn(name, plain(draw, draw(st.sampled_from(CELL_KINDS)), count)) for name in names])


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    kind, count = draw(st.sampled_from(Kind)), draw(st.integers(1, 40))
    if kind is Kind.TABLE:
        return Segment(kind, count, table(draw, count))
    if kind is Kind.ARTIFACTS:
        paths = draw(st.lists(TEXTS, min_size=count, max_size=count))
        return Segment(kind, count, Artifacts(draw(st.integers(1, 5)), paths))
    return plain(draw, kind, count)


@st.composite
def points(draw: st.DrawFn) -> Points:
    parts = draw(st.lists(segments(), min_size=1, max_size=4))
    count = sum(part.count for part in parts)
    columns = st.lists(INT64, min_size=count, max_size=count)
    steps = draw(st.none() | columns)
    return Points(None if steps is None else np.array(steps, np.int64), np.array(draw(columns), np.int64), parts)


def assert_same(one: Points, other: Points) -> None:
    assert (one.steps is None) == (other.steps is None)
    if one.steps is not None and other.steps is not None:
        assert np.array_equal(one.steps, other.steps)
    assert np.array_equal(one.times, other.times)
    for left, right in zip(one.segments, other.segments, strict=True):
        assert_same_values(left, right)


def assert_same_values(left: Segment, right: Segment) -> None:
    assert (left.kind, left.count) == (right.kind, right.count)
    if left.kind is Kind.DOUBLE:
        assert left.array.tobytes() == right.array.tobytes()
    elif left.kind in (Kind.INT64, Kind.BOOL):
        assert np.array_equal(left.array, right.array)
    elif left.kind is Kind.TABLE:
        assert left.table.names == right.table.names
        for column, same in zip(left.table.columns, right.table.columns, strict=True):
            assert_same_values(column.cells, same.cells)
    else:
        assert left.values == right.values


@given(points())
def test_points_come_back_bit_for_bit(original: Points) -> None:
    assert_same(original, decode_points(encode_points(original)))


@given(st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=100))
def test_single_precision_numbers_come_back_bit_for_bit_nan_payloads_included(bits: list[int]) -> None:
    with np.errstate(invalid="ignore"):
        values = np.array(bits, np.uint32).view(np.float32).astype(np.float64)
    original = Points(None, np.zeros(len(bits), np.int64), [Segment(Kind.DOUBLE, len(bits), values)])

    assert_same(original, decode_points(encode_points(original)))


@pytest.mark.parametrize("bits", [0x8000000000000000, 0x7FF8000000000000, 0x7FF0000000000001, 0xFFF8DEADBEEF0001])
def test_negative_zero_and_each_nan_stay_what_they_are(bits: int) -> None:
    original = Points(None, np.zeros(1, np.int64), [Segment(Kind.DOUBLE, 1, doubles([bits]))])

    assert decode_points(encode_points(original)).segments[0].array.tobytes() == doubles([bits]).tobytes()


@given(original=points(), where=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
def test_a_flipped_bit_is_noticed(original: Points, where: float, bit: int) -> None:
    data = bytearray(encode_points(original))
    data[int(where * len(data))] ^= 1 << bit

    with pytest.raises(StoredBytesDamaged):
        decode_points(bytes(data))


@given(original=points(), kept=st.floats(0, 1, exclude_max=True))
def test_a_cut_off_end_is_noticed(original: Points, kept: float) -> None:
    data = encode_points(original)

    with pytest.raises(StoredBytesDamaged):
        decode_points(data[: int(kept * len(data))])


def test_what_an_earlier_version_stored_stays_readable() -> None:
    n = np.arange(1, 41)
    stored = [
        Segment(Kind.DOUBLE, 30, 1 / n[:30]),
        Segment(Kind.INT64, 4, np.array([-1, 5, 2**62, -(2**63)])),
        Segment(Kind.BOOL, 2, np.array([True, False])),
        Segment(Kind.STRING, 2, ["é", ""]),
        Segment(Kind.NULL, 2, None),
    ]

    assert_same(Points(n**3, 1_700_000_000_000_000 + n * n * 1_000, stored), decode_points(b64decode(FORMAT_1)))


def test_rows_and_artifacts_that_were_stored_stay_readable() -> None:
    cells = [
        Segment(Kind.DOUBLE, 3, np.array([1.5, -0.0, 1e300])),
        Segment(Kind.INT64, 3, np.array([1, -2, 2**62])),
        Segment(Kind.BOOL, 3, np.array([True, False, True])),
        Segment(Kind.STRING, 3, ["a", "", "日本"]),
        Segment(Kind.NULL, 3, None),
    ]
    columns = [TableColumn(name, each) for name, each in zip(["d", "i", "b", "é", "n"], cells, strict=True)]
    stored = [
        Segment(Kind.TABLE, 3, Table(3, columns)),
        Segment(Kind.ARTIFACTS, 2, Artifacts(4, ["plots/a.png", "é"])),
    ]

    assert_same(Points(None, np.arange(5) * 1_000, stored), decode_points(b64decode(FORMAT_2)))


def test_planes_that_were_stored_stay_readable() -> None:
    n = np.arange(1_100)
    stored = [Segment(Kind.DOUBLE, 1_100, n % 3 * 0.5)]

    assert_same(Points(n // 7, 1_700_000_000_000_000 + n * 1_000 + n % 5, stored), decode_points(b64decode(FORMAT_3)))


def test_a_training_curve_takes_less_than_six_bytes_a_point() -> None:
    rng = np.random.default_rng(7)
    count = 10_000
    losses = (np.exp(-np.arange(count) / 3_000) + 0.05 * rng.standard_normal(count)).astype(np.float32)
    times = 1_700_000_000_000_000 + np.cumsum(rng.integers(90_000, 110_000, count))
    curve = Points(np.arange(count), times, [Segment(Kind.DOUBLE, count, losses.astype(np.float64))])

    assert len(encode_points(curve)) < 6 * count
