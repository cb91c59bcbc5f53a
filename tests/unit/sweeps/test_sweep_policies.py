"""Which runs a policy stops."""

from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.exceptions import UserErrorException
from runstream.train.hyperdrive import (
    BanditPolicy,
    EarlyTerminationPolicy,
    MedianStoppingPolicy,
    NoTerminationPolicy,
    TruncationSelectionPolicy,
)
from runstream.train.hyperdrive._curve import Curve
from runstream.train.hyperdrive.policy import policy_of

NOBODY: frozenset[str] = frozenset()
HISTORIES = st.dictionaries(
    st.sampled_from("abcdef"), st.lists(st.floats(allow_infinity=False), min_size=1, max_size=6), min_size=1
)
POLICIES: list[EarlyTerminationPolicy] = [
    BanditPolicy(slack_factor=0.1),
    BanditPolicy(slack_amount=0.5),
    MedianStoppingPolicy(),
    TruncationSelectionPolicy(20),
]


def curves(histories: Mapping[str, Sequence[float]]) -> dict[str, Curve]:
    return {run: Curve(values) for run, values in histories.items()}


@pytest.mark.parametrize(
    ("best", "value", "is_stopped"),
    [(0.8, 0.67, False), (0.8, 0.66, True), (-0.8, -0.95, False), (-0.8, -0.97, True)],
)
def test_a_bandit_stops_what_is_out_of_a_part_of_the_best(best: float, value: float, is_stopped: bool) -> None:
    policy = BanditPolicy(slack_factor=0.2)

    assert policy.stops("b", 1, curves({"a": [best], "b": [value]}), NOBODY) is is_stopped


def test_a_bandit_compares_with_what_the_best_had_at_the_same_count() -> None:
    policy = BanditPolicy(slack_amount=0.2)

    assert not policy.stops("b", 1, curves({"a": [0.5, 0.9], "b": [0.4]}), NOBODY)
    assert policy.stops("b", 2, curves({"a": [0.5, 0.9], "b": [0.4, 0.4]}), NOBODY)


def test_the_median_of_averages_is_the_measure() -> None:
    policy = MedianStoppingPolicy()
    histories = curves({"a": [1.0, 3.0], "b": [2.0, 2.0], "c": [0.0, 1.9]})

    assert policy.stops("c", 2, histories, NOBODY)
    assert not policy.stops("b", 2, histories, NOBODY)


def test_the_worst_part_is_truncated() -> None:
    policy = TruncationSelectionPolicy(25)
    histories = curves({"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]})

    assert [run for run in histories if policy.stops(run, 1, histories, NOBODY)] == ["a"]


def test_runs_that_have_ended_can_be_left_out_of_the_truncation() -> None:
    histories = curves({"a": [1.0], "b": [2.0], "c": [3.0], "d": [4.0]})

    assert not TruncationSelectionPolicy(25, exclude_finished_jobs=True).stops("a", 1, histories, frozenset("d"))


@given(HISTORIES, st.sampled_from(POLICIES))
def test_the_best_run_is_never_stopped(histories: dict[str, list[float]], policy: EarlyTerminationPolicy) -> None:
    count = max(map(len, histories.values()))
    best = max(histories, key=lambda run: max((each for each in histories[run] if each == each), default=-1e308))
    if any(value == value for value in histories[best]):
        prolonged = {**histories, best: histories[best] + histories[best][-1:] * count}
        assert not policy.stops(best, count, curves(prolonged), NOBODY)


@given(st.integers(0, 30), st.integers(1, 5), st.integers(0, 10))
def test_runs_are_looked_at_in_intervals_and_after_the_delay(count: int, interval: int, delay: int) -> None:
    policy = MedianStoppingPolicy(interval, delay)

    assert policy.is_due(count) == (count > 0 and count >= delay and count % interval == 0)


@pytest.mark.parametrize("policy", [*POLICIES, NoTerminationPolicy(), TruncationSelectionPolicy(9, 2, 3, True)])
def test_a_policy_is_the_same_after_it_was_a_document(policy: EarlyTerminationPolicy) -> None:
    copy = policy_of(policy.to_document())

    assert type(copy) is type(policy)
    assert vars(copy) == vars(policy)


@pytest.mark.parametrize(
    "make",
    [
        BanditPolicy,
        lambda: BanditPolicy(slack_factor=0.1, slack_amount=0.1),
        lambda: BanditPolicy(slack_factor=0),
        lambda: BanditPolicy(evaluation_interval=0, slack_factor=0.1),
        lambda: MedianStoppingPolicy(delay_evaluation=-1),
        lambda: TruncationSelectionPolicy(100),
    ],
)
def test_what_says_nothing_is_refused(make: Any) -> None:
    with pytest.raises(UserErrorException):
        make()
