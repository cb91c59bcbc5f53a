"""Thinning: what remains is real, in order, not too much, and has every spike."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from runstream_server.metrics.chunks import encode_points
from runstream_server.metrics.gathering import Gathering, Held, make_scale
from runstream_server.metrics.model import Kind, Points, Segment, Series, SeriesKind, Span, StoredChunk
from runstream_server.metrics.overview import Overview, join_overviews, overview_of
from runstream_server.metrics.queries import Axis, CompareRequest, ThinnedSeries
from runstream_server.metrics.thinning import Numbers, join_numbers, thin
from runstream_server.metrics.windows import KnownSpan
from runstream_server.names import RunName

RUN = RunName("space", "run")
PLACES = st.sampled_from(["ascending", "restarted", "anywhere", "same", "extreme"])


def places_of(kind: str, count: int, random: np.random.Generator) -> NDArray[np.int64]:
    match kind:
        case "ascending":
            return np.cumsum(random.integers(0, 5, count))
        case "restarted":
            return np.arange(count) % (count // 2 + 1)
        case "same":
            return np.full(count, 7)
        case "extreme":
            return random.choice(np.array([-(2**63), 0, 2**63 - 1]), count)
        case _:
            return random.integers(-(2**40), 2**40, count)


def values_of(count: int, random: np.random.Generator) -> NDArray[np.float64]:
    values = random.normal(size=count).round(1)
    odd = random.random(count) < 0.02
    values[odd] = random.choice([np.inf, -np.inf, 1e300, -0.0], odd.sum())
    return values


@given(st.integers(0, 2**32), st.integers(0, 600), PLACES, st.integers(2, 300))
def test_what_remains_is_real_in_order_and_has_the_extremes(seed: int, count: int, kind: str, max_points: int) -> None:
    random = np.random.default_rng(seed)
    numbers = Numbers(places_of(kind, count, random), np.arange(count), values_of(count, random))

    thinned = thin(numbers, max_points)

    assert thinned.count <= max_points
    assert np.array_equal(numbers.places[thinned.indexes], thinned.places)
    assert np.array_equal(numbers.values[thinned.indexes], thinned.values)
    order = list(zip(thinned.places.tolist(), thinned.indexes.tolist(), strict=True))
    assert order == sorted(set(order))
    if count:
        assert thinned.values.min() == numbers.values.min()
        assert thinned.values.max() == numbers.values.max()
    if count <= max_points:
        assert thinned.count == count


def test_a_spike_of_one_value_in_each_section_is_kept() -> None:
    values = np.zeros(100_000)
    values[::1_000] = 5
    values[500::1_000] = -5

    thinned = thin(Numbers(np.arange(100_000), np.arange(100_000), values), 400)

    assert thinned.indexes[thinned.values == 5].tolist() == list(range(0, 100_000, 1_000))
    assert thinned.indexes[thinned.values == -5].tolist() == list(range(500, 100_000, 1_000))


def gather(points: Points, request: CompareRequest, sizes: list[int], *, with_overview: list[bool]) -> ThinnedSeries:
    """Thins a series that is stored in chunks of these sizes, of which some have an overview."""
    series = Series(RUN, "m", 1, points.count, None, None, None, "", 1, SeriesKind.VALUES, [])
    assert points.steps is not None
    chunks, overviews, unknown = [], list[Overview](), []
    begin = 0
    for size, known in zip(sizes, with_overview, strict=True):
        end = begin + size
        segments = [points.segments[0].cut(begin, end)]
        part = Points(points.steps[begin:end], points.times[begin:end], segments)
        chunks.append((begin, end, encode_points(part)))
        if known:
            overviews.append(overview_of(part, begin))
        else:
            unknown.append((begin, end))
        begin = end
    known_span = KnownSpan(Span(series, 0, points.count), join_overviews(overviews) if overviews else None, unknown)
    gathering = Gathering(known_span, make_scale(request, int(points.times.min())), request.max_points)
    for span in gathering.spans:
        for begin, end, data in chunks:
            if begin < span.end_index and end > span.start_index:
                gathering.add(StoredChunk(series, begin, end - begin, data, span.start_index, span.end_index))
    return gathering.thinned()


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(1, 900), st.booleans()), min_size=1, max_size=12),
    PLACES,
    st.sampled_from(Axis),
    st.sampled_from([2, 3, 10, 100, 10_000]),
    st.booleans(),
)
def test_overviews_and_borders_give_the_extremes_and_the_count_of_the_range(
    seed: int, chunks: list[tuple[int, bool]], kind: str, axis: Axis, max_points: int, zoomed: bool
) -> None:
    random = np.random.default_rng(seed)
    sizes = [size for size, _ in chunks]
    count = sum(sizes)
    steps = places_of(kind, count, random)
    times = np.abs(places_of("anywhere" if kind == "extreme" else kind, count, random)) + 1_000
    values = values_of(count, random)
    values[random.random(count) < random.choice([0, 0.3, 0.99])] = np.nan
    points = Points(steps, times, [Segment(Kind.DOUBLE, count, values)])
    places = {Axis.STEP: steps, Axis.TIME: times, Axis.RELATIVE_TIME: times - times.min()}[axis]
    low, high = -(2**63), 2**63 - 1
    if zoomed:
        low, high = sorted(random.choice(places, 2).tolist())

    request = CompareRequest([RUN], ["m"], max_points, axis, low, high)
    thinned = gather(points, request, sizes, with_overview=[known for _, known in chunks])

    within = (places >= low) & (places <= high) & ~np.isnan(values)
    assert thinned.count == within.sum()
    assert len(thinned.values) <= max_points
    assert thinned.thinned == (thinned.count > len(thinned.values))
    assert thinned.places.tolist() == sorted(thinned.places.tolist())
    real = set(zip(places[within].tolist(), values[within].tolist(), strict=True))
    assert set(zip(thinned.places.tolist(), thinned.values.tolist(), strict=True)) <= real
    if thinned.count:
        assert thinned.values.min() == values[within].min()
        assert thinned.values.max() == values[within].max()
    if thinned.count <= max_points:
        assert not thinned.thinned


@given(
    st.integers(0, 2**32),
    st.lists(st.tuples(st.integers(1, 3_000), st.booleans()), min_size=1, max_size=6),
    st.sampled_from([2, 6, 20, 100]),
    st.booleans(),
)
def test_near_each_value_of_the_range_one_at_least_as_extreme_is_shown(
    seed: int, chunks: list[tuple[int, bool]], max_points: int, zoomed: bool
) -> None:
    random = np.random.default_rng(seed)
    count = sum(size for size, _ in chunks)
    places = np.cumsum(random.integers(0, 5, count))
    values = values_of(count, random)
    points = Points(places, np.arange(count), [Segment(Kind.DOUBLE, count, values)])
    low, high = sorted(random.choice(places, 2).tolist()) if zoomed else (-(2**63), 2**63 - 1)

    request = CompareRequest([RUN], ["m"], max_points, Axis.STEP, low, high)
    thinned = gather(points, request, [size for size, _ in chunks], with_overview=[known for _, known in chunks])

    within = (places >= low) & (places <= high)
    places, values = places[within], values[within]
    section = (places[-1] - places[0]) / (max_points // 2) + 1
    index = np.arange(len(places))
    begins = places[np.maximum(index - 127, 0)] - section
    ends = places[np.minimum(index + 127, len(places) - 1)] + section
    near = (thinned.places >= begins[:, None]) & (thinned.places <= ends[:, None])
    assert np.all(np.any(near & (thinned.values <= values[:, None]), axis=1))
    assert np.all(np.any(near & (thinned.values >= values[:, None]), axis=1))


def test_what_is_held_of_many_values_is_everywhere_of_the_same_density() -> None:
    held = Held(limit=10_000)
    values = np.random.default_rng(1).normal(size=640_000)
    for start in range(0, len(values), 1_000):
        index = np.arange(start, start + 1_000)
        held.add(Numbers(index, index, values[index]))

    kept = thin(join_numbers(held.parts()), 10**9)
    shown = np.histogram(kept.places, bins=20, range=(0, len(values)))[0]

    assert kept.count <= 20_000 + 1_000
    assert shown.min() > 200
    assert kept.values.max() == values.max()
    assert kept.values.min() == values.min()
