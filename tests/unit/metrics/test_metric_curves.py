"""Curves that are encoded together: each is what it would be by itself."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.metrics.chunks import decode_points
from runstream_server.metrics.curves import encode_in_c, encode_in_numpy, is_curve
from runstream_server.metrics.encoding import summarize
from runstream_server.metrics.model import Chunk, Kind, Points, Segment
from runstream_server.metrics.overview_format import WORTH_POINTS, chunk_overview
from runstream_server.native import native

COUNTS = st.sampled_from([1, 2, 15, 16, 300, WORTH_POINTS, WORTH_POINTS + 77])
ENCODERS = [encode_in_numpy, encode_in_c] if native else [encode_in_numpy]
SHAPES = ("smooth", "NaN", "only NaN", "infinite", "single", "steps back", "times back")


def curve(seed: int, count: int, shape: str) -> Points:
    random = np.random.default_rng(seed)
    steps, times = np.cumsum(random.integers(0, 3, count)), np.cumsum(random.integers(0, 300_000, count))
    values = random.normal(size=count)
    match shape:
        case "NaN":
            values[random.random(count) < 0.1] = np.nan
        case "only NaN":
            values[:] = np.nan
        case "infinite":
            values[random.random(count) < 0.1] = random.choice([np.inf, -np.inf, -0.0])
        case "single":
            values = values.astype(np.float32).astype(np.float64)
        case "steps back":
            steps = random.integers(-(2**63), 2**63 - 1, count)
        case "times back":
            times = times[::-1].copy()
    return Points(steps, times, [Segment(Kind.DOUBLE, count, values)])


@pytest.mark.parametrize("encode", ENCODERS)
@given(made=st.lists(st.tuples(st.integers(0, 2**32), COUNTS, st.sampled_from(SHAPES)), max_size=5))
def test_each_curve_is_encoded_as_it_would_be_alone(
    encode: Callable[[Sequence[Points]], Sequence[Chunk]], made: list[tuple[int, int, str]]
) -> None:
    curves = [curve(*each) for each in made]
    encoded = encode(curves)

    assert len(encoded) == len(curves)
    for points, chunk in zip(curves, encoded, strict=True):
        decoded = decode_points(chunk.data)
        assert decoded.steps is not None
        assert points.steps is not None
        assert decoded.steps.tobytes() == points.steps.tobytes()
        assert decoded.times.tobytes() == points.times.tobytes()
        assert decoded.segments[0].array.tobytes() == points.segments[0].array.tobytes()
        assert repr(chunk.summary) == repr(summarize(points))
        assert chunk.overview == chunk_overview(points)
        assert chunk == encode([points])[0] or "nan" in repr(chunk.summary)


@pytest.mark.parametrize(
    "points",
    [
        Points(None, np.arange(5_000), [Segment(Kind.DOUBLE, 5_000, np.zeros(5_000))]),
        Points(np.arange(5_000), np.arange(5_000), [Segment(Kind.INT64, 5_000, np.arange(5_000))]),
        Points(np.arange(5_000), np.arange(5_000), [Segment(Kind.NULL, 2_500, None)] * 2),
    ],
)
def test_other_points_are_no_curves(points: Points) -> None:
    assert not is_curve(points)
