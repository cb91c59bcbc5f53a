"""Curves as C encodes them: the same bytes as by numpy, whatever the numbers."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runstream_server.compression import compress_many
from runstream_server.metrics.curves import encode_in_c, encode_in_numpy
from runstream_server.metrics.model import Kind, Points, Segment, Summary
from runstream_server.native import native

pytestmark = pytest.mark.skipif(not native, reason="there was no compiler")

COUNTS = st.one_of(st.integers(1, 400), st.sampled_from([1_023, 2_047, 2_048, 2_049, 4_000, 16_384]))
SPANS = st.sampled_from([0, 1, 3, 15, 16, 255, 256, 65_535, 65_536, 2**32 - 1, 2**32, 2**63 - 1])
SPECIAL = np.array([0x7FF0000000000001, 0xFFF8000000000123, 0x7FF0000000000000, 1 << 63, 0, 1], np.uint64).view(
    np.float64
)
"""NaN of several kinds, infinity, -0.0, 0.0 and the least number above it."""


def integers(random: np.random.Generator, count: int, span: int) -> NDArray[np.int64]:
    """Numbers whose strides have that span, from anywhere: they may wrap around."""
    strides = random.integers(0, span, count, endpoint=True) + random.integers(-(2**40), 2**40)
    return np.asarray(np.cumsum(strides) + random.integers(-(2**63), 2**63 - 1), np.int64)


def doubles(random: np.random.Generator, count: int, shape: str) -> NDArray[np.float64]:
    values: NDArray[np.float64] = random.normal(1, 0.1, count)
    match shape:
        case "bits":
            values = random.integers(-(2**63), 2**63 - 1, count).view(np.float64)
        case "single":
            values = values.astype(np.float32).astype(np.float64)
        case "few":
            values = random.integers(0, 3, count).astype(np.float64)
        case "steady":
            values = np.repeat(values, 50)[:count]
        case "special":
            places = random.random(count) < random.random()
            values[places] = random.choice(SPECIAL, int(places.sum()))
    return values


def curve(seed: int, count: int, spans: tuple[int, int], shape: str) -> Points:
    random = np.random.default_rng(seed)
    steps, times = (integers(random, count, span) for span in spans)
    return Points(steps, times, [Segment(Kind.DOUBLE, count, doubles(random, count, shape))])


def columns(points: Points) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    assert points.steps is not None
    return points.steps, points.times, points.segments[0].array


def known(summary: Summary) -> tuple[Any, ...]:
    """What is equal in equal summaries: NaN to itself."""
    return summary.count, repr(summary.last), summary.min, summary.max, summary.kinds, summary.first_time


def quiet(points: Points) -> Points:
    """Without NaN that signals: numpy may leave out numbers beside it."""
    values = points.segments[0].array
    quieted = np.where(np.isnan(values), np.nan, values)
    return Points(points.steps, points.times, [Segment(Kind.DOUBLE, points.count, quieted)])


def assert_same(curves: Sequence[Points]) -> None:
    summed_up = encode_in_numpy([quiet(points) for points in curves])
    for of_c, of_numpy, quieted in zip(encode_in_c(curves), encode_in_numpy(curves), summed_up, strict=True):
        assert (of_c.size_bytes, of_c.data, of_c.overview) == (of_numpy.size_bytes, of_numpy.data, of_numpy.overview)
        assert known(of_c.summary) == known(quieted.summary)


CURVES = st.builds(
    curve,
    st.integers(0, 2**32),
    COUNTS,
    st.tuples(SPANS, SPANS),
    st.sampled_from(["noise", "bits", "single", "few", "steady", "special"]),
)


@given(st.lists(CURVES, max_size=4))
def test_c_encodes_what_numpy_does(curves: list[Points]) -> None:
    assert_same(curves)


@pytest.mark.parametrize("shape", ["noise", "single", "special"])
def test_c_encodes_the_longest_curves(shape: str) -> None:
    assert_same([curve(1, 65_536, (1, 4_000), shape), curve(2, 1, (0, 0), shape)])


def test_columns_need_not_be_aligned() -> None:
    points = curve(1, 5_000, (1, 4_000), "single")
    steps, times, values = (memoryview(b"x" + each.tobytes())[1:] for each in columns(points))

    assert native.encode_curves([(steps, times, values)], compress_many)[0][0] == encode_in_c([points])[0].data


@pytest.mark.parametrize("wrong", [(b"", b"", b""), (b"1234567",) * 3, (b"12345678", b"12345678", bytes(16))])
def test_what_is_no_curve_is_an_error(wrong: Any) -> None:
    with pytest.raises(ValueError, match="a curve has"):
        native.encode_curves([wrong], compress_many)


@pytest.mark.parametrize("wrong", [(b"12345678", b"12345678"), (b"12345678", 5, b"12345678"), None])
def test_what_are_no_columns_is_an_error(wrong: Any) -> None:
    with pytest.raises((TypeError, IndexError)):
        native.encode_curves([wrong], compress_many)


def test_an_error_of_the_compressor_is_passed_on() -> None:
    points = curve(1, 5_000, (1, 1), "steady")

    def fail(_many: Sequence[bytes], _fast: bool) -> Sequence[bytes]:
        raise MemoryError("no more")

    with pytest.raises(MemoryError, match="no more"):
        native.encode_curves([columns(points)], fail)
    with pytest.raises(ValueError, match="not as many"):
        native.encode_curves([columns(points)], lambda _many, _fast: [])
