"""Expressions of hyperparameters and what is drawn from them."""

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive import (
    choice,
    lognormal,
    loguniform,
    normal,
    qlognormal,
    qloguniform,
    qnormal,
    quniform,
    randint,
    uniform,
)
from runstream.train.hyperdrive.parameter_expressions import Expression

SHARE = st.floats(0, 1)
RANGED = [uniform(-1, 3), quniform(-1, 3, 0.5), loguniform(-6, -1), qloguniform(0, 3, 2)]
SHAPED = [normal(10, 3), qnormal(10, 3, 2), lognormal(0, 1), qlognormal(2, 1, 5)]
CHOSEN = [choice(1, "a", None, True), choice(range(3)), randint(7)]


def at(expression: Expression, share: float) -> Any:
    low, high = expression.bounds
    number = low + share * (high - low)
    return expression.value_of(int(number) if expression.is_discrete else number)


@given(st.sampled_from([*RANGED, *SHAPED, *CHOSEN]), SHARE)
def test_every_number_between_the_bounds_stands_for_a_value(expression: Expression, share: float) -> None:
    value = at(expression, share)

    assert isinstance(value, str | int | float | None)
    assert not isinstance(value, float) or math.isfinite(value)
    assert Expression.of_document(json.loads(json.dumps(expression.to_document()))).value_of(
        expression.bounds[0]
    ) == expression.value_of(expression.bounds[0])


@given(SHARE)
def test_values_stay_where_they_may_be(share: float) -> None:
    assert -1 <= at(uniform(-1, 3), share) <= 3
    assert math.exp(-6) <= at(loguniform(-6, -1), share) <= math.exp(-1)
    assert at(randint(7), share) in range(7)
    assert at(choice([16, 32]), share) in (16, 32)
    assert at(quniform(-1, 3, 0.5), share) % 0.5 == 0
    assert at(qlognormal(2, 1, 5), share) % 5 == 0
    assert at(lognormal(0, 1), share) > 0


def test_a_normal_number_is_made_of_its_quantile() -> None:
    assert normal(10, 3).value_of(0.5) == 10
    assert normal(0, 1).value_of(0.975) == pytest.approx(1.96, abs=1e-3)
    assert math.isfinite(normal(0, 1).value_of(0.0))


def test_choice_takes_values_or_one_iterable_of_them() -> None:
    assert choice(1, 2) == choice([1, 2]) == choice(range(1, 3))
    assert choice("ab").arguments == ("ab",)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: choice(), "at least one"),
        (lambda: choice([]), "at least one"),
        (lambda: choice(object(), 1), "texts, numbers"),
        (lambda: randint(0), "above 0"),
        (lambda: randint(True), "above 0"),
        (lambda: uniform(1, 1), "below its max_value"),
        (lambda: uniform(float("nan"), 1), "finite"),
        (lambda: quniform(0, 1, 0), "q above 0"),
        (lambda: normal(0, 0), "sigma above 0"),
        (lambda: lognormal("0", 1), "finite number as mu"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_drawn_from_is_refused(make: Any, words: str) -> None:
    with pytest.raises(UserErrorException, match=words):
        make()
