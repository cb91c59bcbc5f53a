"""Curves keep the shape of a metric in few points."""

from array import array

from hypothesis import given
from hypothesis import strategies as st

from runstream.widgets._curve import MAX_POINTS, Curve, thin

POINTS = st.lists(st.tuples(st.integers(-1000, 1000), st.floats(allow_nan=False)), min_size=1, max_size=300)


@given(POINTS, st.integers(4, 50))
def test_thinning_keeps_ends_extremes_and_the_limit(points: list[tuple[int, float]], limit: int) -> None:
    points.sort(key=lambda point: point[0])

    kept = thin(points, limit)

    assert len(kept) <= limit or len(kept) == len(points)
    assert set(kept) <= set(points)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert [step for step, _ in kept] == sorted(step for step, _ in kept)
    values, kept_values = [value for _, value in points], [value for _, value in kept]
    assert (min(values), max(values)) == (min(kept_values), max(kept_values))


@given(st.lists(st.lists(st.floats(), max_size=700), max_size=8))
def test_a_curve_knows_count_last_and_extremes_however_much_comes(pieces: list[list[float]]) -> None:
    curve, values = Curve("loss"), [value for piece in pieces for value in piece]
    index = 0
    for piece in pieces:
        curve.add(index, range(index, index + len(piece)), piece)
        index += len(piece)
        assert len(curve.section()["steps"]) <= MAX_POINTS * 8

    numbers = [value for value in values if value == value]
    shown = array("d", curve.section()["values"]).tolist()
    assert curve.count == len(values)
    assert repr(curve.last) == repr(values[-1] if values else float("nan"))
    assert (numbers == []) == (shown == [])
    if numbers:
        assert (curve.least, curve.greatest) == (min(numbers), max(numbers)) == (min(shown), max(shown))


def test_what_is_no_number_is_counted_and_not_drawn() -> None:
    curve = Curve("state")

    curve.add(0, [0, 1, 2, 3], ["begun", None, True, 4])

    assert (curve.count, curve.last, curve.points()) == (4, 4.0, [(2, 1.0), (3, 4.0)])


def test_steps_that_go_back_are_drawn_in_order() -> None:
    curve = Curve("loss")
    curve.add(0, [5, 6], [0.5, 0.6])
    curve.add(2, [1, 2], [0.1, 0.2])

    assert curve.points() == [(1, 0.1), (2, 0.2), (5, 0.5), (6, 0.6)]
    assert curve.last == 0.2


def test_numbers_that_json_lacks_travel_as_text() -> None:
    curve = Curve("loss")
    curve.add(0, [0, 1, 2], [float("-inf"), float("inf"), float("nan")])

    section = curve.section()
    assert (section["least"], section["greatest"], section["last"]) == ("-Infinity", "Infinity", "NaN")
