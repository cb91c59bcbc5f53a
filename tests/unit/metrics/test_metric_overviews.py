"""The overview of values: true in every bucket, exact to the last bit, joinable, and never silently wrong."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runstream_server.envelope import StoredBytesDamaged
from runstream_server.metrics.model import Kind, Points, Segment
from runstream_server.metrics.overview import (
    BUCKET_POINTS,
    Extremes,
    Overview,
    join_overviews,
    numbers_of,
    overview_of,
)
from runstream_server.metrics.overview_format import WORTH_POINTS, chunk_overview, decode_overviews, encode_overview

CHUNK_COUNTS = st.integers(WORTH_POINTS, WORTH_POINTS + 400)
ODD = [np.nan, np.inf, -np.inf, 0.0, -0.0, 5e-324, 1.7e308]


def columns(seed: int, count: int, *, with_steps: bool) -> Points:
    """Points of several kinds, with odd numbers, odd steps and times."""
    random = np.random.default_rng(seed)
    values = random.normal(size=count)
    odd = random.random(count) < random.choice([0, 0.1, 1])
    values[odd] = random.choice(ODD, odd.sum())
    steps = random.integers(-(2**63), 2**63 - 1, count) if with_steps else None
    cut = int(random.integers(0, count + 1))
    segments = [Segment(Kind.DOUBLE, count, values)]
    if 0 < cut < count:
        numbers = random.integers(-100, 100, count - cut)
        segments = [
            Segment(Kind.DOUBLE, cut, values[:cut]),
            Segment(Kind.INT64, count - cut, numbers)
            if seed % 2
            else Segment(Kind.STRING, count - cut, list(map(str, numbers))),
        ]
    return Points(steps, random.integers(-(2**63), 2**63 - 1, count), segments)


def assert_equal(one: Overview, other: Overview) -> None:
    for name in ("starts", "counts", "numbers", "min_steps", "max_steps", "min_times", "max_times"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), name)
    for mine, others in ((one.least, other.least), (one.greatest, other.greatest)):
        for name in ("indexes", "steps", "times"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(others, name), name)
        np.testing.assert_array_equal(mine.values.view(np.int64), others.values.view(np.int64))


def assert_real(extremes: Extremes, bucket: int, points: Points, start_index: int) -> None:
    """The extreme is the point of the series that it claims to be."""
    place = int(extremes.indexes[bucket]) - start_index
    steps = np.arange(start_index, start_index + points.count) if points.steps is None else points.steps
    assert extremes.steps[bucket] == steps[place]
    assert extremes.times[bucket] == points.times[place]
    assert extremes.values[bucket] == numbers_of(points)[place]


@given(st.integers(0, 2**32), st.integers(1, 700), st.booleans(), st.integers(0, 2**40))
def test_every_bucket_says_what_its_values_are(seed: int, count: int, with_steps: bool, start_index: int) -> None:
    points = columns(seed, count, with_steps=with_steps)
    overview = overview_of(points, start_index)

    assert overview.starts[0] == start_index
    assert overview.ends[-1] == start_index + count
    assert all(end == start for end, start in zip(overview.ends[:-1], overview.starts[1:], strict=True))
    values = numbers_of(points)
    steps = np.arange(start_index, start_index + count) if points.steps is None else points.steps
    for bucket, (start, end) in enumerate(zip(overview.starts - start_index, overview.ends - start_index, strict=True)):
        assert 1 <= overview.counts[bucket] <= BUCKET_POINTS
        known = values[start:end][~np.isnan(values[start:end])]
        assert overview.numbers[bucket] == len(known)
        assert (overview.min_steps[bucket], overview.max_steps[bucket]) == (
            steps[start:end].min(),
            steps[start:end].max(),
        )
        times = points.times[start:end]
        assert (overview.min_times[bucket], overview.max_times[bucket]) == (times.min(), times.max())
        if len(known):
            assert (overview.least.values[bucket], overview.greatest.values[bucket]) == (known.min(), known.max())
            assert_real(overview.least, bucket, points, start_index)
            assert_real(overview.greatest, bucket, points, start_index)
        else:
            assert np.isnan(overview.least.values[bucket])
            assert np.isnan(overview.greatest.values[bucket])


@given(st.integers(0, 2**32), st.integers(1, 700), st.booleans(), st.integers(0, 2**40))
def test_an_overview_survives_its_encoding(seed: int, count: int, with_steps: bool, start_index: int) -> None:
    overview = overview_of(columns(seed, count, with_steps=with_steps), start_index)

    assert_equal(decode_overviews([(encode_overview(overview), start_index)]), overview)


@given(
    st.integers(0, 2**32),
    st.lists(st.integers(WORTH_POINTS, WORTH_POINTS + 400), min_size=1, max_size=4),
    st.integers(0, 2**40),
)
def test_overviews_of_chunks_join_at_the_place_the_chunks_got(seed: int, counts: list[int], start_index: int) -> None:
    chunks = [columns(seed + place, count, with_steps=bool(place % 2)) for place, count in enumerate(counts)]
    begins = [start_index + sum(counts[:place]) for place in range(len(counts))]
    stored = [(chunk_overview(points) or b"", begin) for points, begin in zip(chunks, begins, strict=True)]

    whole = decode_overviews(stored)

    assert_equal(
        whole, join_overviews([overview_of(points, begin) for points, begin in zip(chunks, begins, strict=True)])
    )
    assert_equal(whole, decode_overviews([(encode_overview(whole), start_index)]))


def test_few_values_have_no_overview() -> None:
    assert chunk_overview(columns(0, WORTH_POINTS - 1, with_steps=True)) is None
    assert chunk_overview(columns(0, WORTH_POINTS, with_steps=True)) is not None


def test_an_overview_of_a_curve_takes_less_than_half_a_byte_per_value() -> None:
    overview = chunk_overview(curve(16_384))

    assert overview is not None
    assert len(overview) < 16_384 / 2


def test_a_changed_or_unknown_overview_is_noticed() -> None:
    overview = chunk_overview(curve(WORTH_POINTS)) or b""

    for damaged in (b"", overview[:-1], overview[:20] + b"?" + overview[21:]):
        with pytest.raises(StoredBytesDamaged):
            decode_overviews([(damaged, 0)])


def curve(count: int) -> Points:
    random = np.random.default_rng(3)
    times = 1_700_000_000_000_000 + np.cumsum(random.integers(9_000, 11_000, count))
    values: NDArray[np.float64] = np.exp(-np.arange(count) / 5_000) + random.normal(0, 0.01, count)
    return Points(np.arange(count), times, [Segment(Kind.DOUBLE, count, values)])


def test_buckets_can_be_chosen() -> None:
    overview = overview_of(curve(1_000), 0)
    chosen = overview.where(overview.starts >= 512)

    assert chosen.starts.tolist() == [512, 640, 768, 896]
    assert all(one < other for one, other in pairwise(chosen.least.indexes.tolist()))
