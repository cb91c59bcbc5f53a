"""The latest number of values: against a plain model, and without looking at buckets that cannot have it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream_server.metrics.encoding import encode_chunk
from runstream_server.metrics.latest import Candidates, Latest, later, latest_of_chunks, latest_of_points
from runstream_server.metrics.model import Kind, Points, Segment, Series, SeriesKind, StoredChunk
from runstream_server.metrics.overview import BUCKET_POINTS, join_overviews, overview_of
from runstream_server.names import RunName

INT64 = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.sampled_from([math.nan, math.inf, -math.inf, 0.0, 1.0, 2.5]) | st.floats(width=64)


@st.composite
def segments(draw: st.DrawFn) -> Segment:
    count = draw(st.integers(1, 6))
    match draw(st.sampled_from([Kind.DOUBLE, Kind.DOUBLE, Kind.INT64, Kind.BOOL, Kind.STRING, Kind.NULL])):
        case Kind.DOUBLE:
            return Segment(Kind.DOUBLE, count, np.array(draw(st.lists(NUMBERS, min_size=count, max_size=count))))
        case Kind.INT64:
            integers = draw(st.lists(INT64, min_size=count, max_size=count))
            return Segment(Kind.INT64, count, np.array(integers, np.int64))
        case Kind.BOOL:
            return Segment(Kind.BOOL, count, np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count))))
        case Kind.STRING:
            return Segment(Kind.STRING, count, ["text"] * count)
        case _:
            return Segment(Kind.NULL, count, None)


@st.composite
def pieces(draw: st.DrawFn) -> Points:
    """Few different steps and times, so that many are alike."""
    parts = tuple(draw(st.lists(segments(), min_size=1, max_size=3)))
    count = sum(part.count for part in parts)
    places = st.lists(st.integers(-2, 2) | INT64, min_size=count, max_size=count)
    steps = np.array(draw(places), np.int64) if draw(st.booleans()) else None
    return Points(steps, np.array(draw(places), np.int64), parts)


def series(number: int) -> Series:
    run = RunName("space", "run")
    return Series(run, f"m{number}", number, 0, None, None, None, "", 0, SeriesKind.VALUES, ())


def numbers(points: Points, start_index: int) -> list[Latest]:
    steps = range(start_index, start_index + points.count) if points.steps is None else points.steps.tolist()
    values: list[object] = []
    for segment in points.segments:
        is_number = segment.kind in (Kind.DOUBLE, Kind.INT64, Kind.BOOL)
        values.extend(segment.array.tolist() if is_number else [None] * segment.count)
    places = zip(steps, points.times.tolist(), values, strict=True)
    return [Latest(step, time, float(value)) for step, time, value in places if value is not None]  # type: ignore[arg-type]


def expected(known: Sequence[Latest]) -> Latest | None:
    """By the words of the contract: the greatest step, then the latest time, then the greatest number."""
    at_step = [each for each in known if each.step == max(one.step for one in known)]
    at_time = [each for each in at_step if each.time == max(one.time for one in at_step)]
    return max(at_time, key=lambda each: (not math.isnan(each.value), each.value), default=None)


def alike(one: Latest | None, other: Latest | None) -> bool:
    return one == other or (one is not None and other is not None and repr(one) == repr(other))


@settings(max_examples=80)
@given(st.lists(st.lists(pieces(), min_size=1, max_size=3), min_size=1, max_size=4), st.booleans())
def test_the_latest_number_of_each_series_is_found_among_chunks(many: list[list[Points]], is_stored: bool) -> None:
    chunks, known = [], {}
    for number, of_series in enumerate(many):
        index, of_model = 7, []
        for points in of_series:
            data = encode_chunk(points).data if is_stored else points
            chunks.append(StoredChunk(series(number), index, points.count, data, 0, 2**63 - 1))
            of_model.extend(numbers(points, index))
            index += points.count
        known[number] = expected(of_model)

    found = latest_of_chunks(chunks)

    assert all(alike(found.get(number), latest) for number, latest in known.items())


@st.composite
def long_series(draw: st.DrawFn) -> Points:
    """Some buckets of values, drawn from few steps, times and numbers; steps may descend or be all the same."""
    count = draw(st.integers(1, 8 * BUCKET_POINTS))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = {
        "ascending": np.arange(count),
        "descending": np.arange(count)[::-1],
        "constant": np.zeros(count, np.int64),
        "few": random.integers(0, 3, count),
        "any": random.integers(-(2**63), 2**63 - 1, count),
    }
    steps, times = (shapes[draw(st.sampled_from(sorted(shapes)))].astype(np.int64) for _ in range(2))
    values = random.choice([math.nan, math.inf, -math.inf, -1.0, 0.0, 3.5], count)
    kind = draw(st.sampled_from([Kind.DOUBLE, Kind.BOOL, Kind.STRING]))
    cut = draw(st.integers(0, count))
    others: dict[Kind, Any] = {Kind.DOUBLE: values, Kind.BOOL: values > 0, Kind.STRING: ["text"] * count}
    parts = (Segment(Kind.DOUBLE, cut, values[:cut]), Segment(kind, count - cut, others[kind][cut:]))
    return Points(steps, times, tuple(part for part in parts if part.count))


@settings(max_examples=80)
@given(long_series(), st.integers(1, 3))
def test_what_is_left_out_of_a_long_series_has_no_later_number(points: Points, taken: int) -> None:
    starts = range(0, points.count, BUCKET_POINTS)
    buckets = [points.cut(start, min(start + BUCKET_POINTS, points.count)) for start in starts]
    overview = join_overviews([overview_of(each, start) for each, start in zip(buckets, starts, strict=True)])
    candidates, latest = Candidates(overview), None

    while candidates.narrow(latest):
        for place in np.flatnonzero(candidates.take(taken)).tolist():
            latest = later(latest, latest_of_points(buckets[place], starts[place]))

    assert alike(latest, expected(numbers(points, 0)))


def test_of_a_long_series_with_ascending_steps_one_bucket_is_looked_at() -> None:
    count = 1_000 * BUCKET_POINTS
    for steps in (np.arange(count), np.arange(count)[::-1].copy(), np.zeros(count, np.int64)):
        points = Points(steps, np.arange(count), (Segment(Kind.DOUBLE, count, np.random.default_rng(1).random(count)),))
        overview = overview_of(points, 0)
        candidates = Candidates(overview)
        assert candidates.narrow(None)
        (place,) = np.flatnonzero(candidates.take(1)).tolist()
        start = int(overview.starts[place])

        assert not candidates.narrow(latest_of_points(points.cut(start, start + BUCKET_POINTS), start))
