"""What is kept of the metric of a run."""

import math

from hypothesis import given
from hypothesis import strategies as st

from runstream.train.hyperdrive._curve import MOST_KEPT, Curve

VALUES = st.lists(st.floats(-1e6, 1e6) | st.just(math.nan), max_size=50)


@given(VALUES, st.integers(1, 60))
def test_a_curve_knows_the_best_and_the_average_after_each_value(values: list[float], count: int) -> None:
    numbers = [value for value in values[:count] if value == value]

    curve = Curve(values)

    assert curve.count == len(values)
    assert curve.best_at(count) == max(numbers, default=-math.inf)
    if numbers:
        assert math.isclose(curve.mean_at(count), sum(numbers) / len(numbers), rel_tol=1e-9, abs_tol=1e-6)
    else:
        assert math.isnan(curve.mean_at(count))


def test_a_curve_without_numbers_has_no_best() -> None:
    assert Curve([math.nan]).best is None
    assert Curve([math.nan, 1.0]).best == 1.0
    assert Curve([-math.inf]).best == -math.inf


def test_infinite_values_do_not_hide_others() -> None:
    assert Curve([math.inf, 1.0]).mean_at(2) == math.inf
    assert Curve([1e308, 1e308, 1e308]).mean_at(3) <= 1e308 * (1 + 1e-9)


def test_the_memory_of_a_long_curve_is_bounded_and_what_is_kept_is_true() -> None:
    count = 100 * MOST_KEPT
    curve = Curve(map(float, range(count)))

    assert len(curve._bests) < MOST_KEPT
    assert len(curve._means) < MOST_KEPT
    for at in (1_000, 12_345, count // 2, count):
        best = curve.best_at(at)
        assert at * (1 - 512 / at) - 1 <= best <= at - 1  # what it had a little earlier
        assert math.isclose(curve.mean_at(at), best / 2, rel_tol=1e-6)
    assert curve.best == count - 1
