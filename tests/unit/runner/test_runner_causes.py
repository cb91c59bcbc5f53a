"""Which of the failures on several nodes is told as that of the run."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from runstream._runner.causes import (
    MAX_VALUE_CHARACTERS,
    MOST_TOLD,
    failure_property,
    failures_of,
    first_cause,
    is_worth_telling,
)
from runstream._runner.folder import Ending

OWN = Ending("FAILED", 2_000, code="UserError", message="connection reset")
OTHER = Ending("FAILED", 1_000, code="UserError", message="no such file", exception_type="FileNotFoundError")


def test_what_failed_first_is_the_cause() -> None:
    cause = first_cause(OWN, {1: replace(OTHER, time_ns=1_500), 2: OTHER})

    assert (cause.message, cause.exception_type) == ("Node 2: no such file", "FileNotFoundError")
    assert cause.time_ns == OWN.time_ns  # the run ended when its first node did


def test_what_failed_later_is_not_the_cause() -> None:
    assert first_cause(OWN, {1: replace(OTHER, time_ns=3_000)}) == OWN


def test_a_node_that_was_told_to_end_after_another_failed_tells_of_that() -> None:
    terminated = replace(OWN, code="RunnerTerminated", time_ns=9_000, cause_time_ns=1_200)

    assert first_cause(terminated, {1: OTHER}).message == "Node 1: no such file"


def test_what_failed_because_a_node_was_told_to_end_is_not_the_cause() -> None:
    terminated = replace(OWN, code="RunnerTerminated", time_ns=9_000, cause_time_ns=500)

    assert first_cause(terminated, {1: OTHER}) == terminated


def test_a_runner_that_was_killed_stays_the_cause() -> None:
    died = replace(OWN, code="RunnerDied")

    assert first_cause(died, {1: OTHER}) == died


def test_a_run_that_did_not_fail_stays_so() -> None:
    assert first_cause(replace(OWN, status="CANCELED"), {1: OTHER}).status == "CANCELED"


def test_when_many_nodes_fail_for_one_only_an_earlier_failure_is_still_told() -> None:
    told = {node: replace(OTHER, time_ns=1_000 + node) for node in range(MOST_TOLD)}

    assert is_worth_telling(OWN, {1: OTHER})
    assert not is_worth_telling(OWN, told)
    assert is_worth_telling(replace(OWN, time_ns=999), told)


def test_only_failures_of_this_attempt_count() -> None:
    properties = failure_property(OTHER, 1, 1) | failure_property(OWN, 2, 3) | {"azureml.git.commit": "c0ffee"}

    assert failures_of(properties, 1) == {1: OTHER}
    assert failures_of(properties, 2) == {3: OWN}


def test_what_cannot_be_read_is_left_out() -> None:
    key = next(iter(failure_property(OTHER, 1, 1)))

    assert not failures_of({key: "{"}, 1)
    assert not failures_of({key: '{"unknown": 1}'}, 1)


@given(st.text(max_size=4_000), st.text(max_size=20_000))
def test_a_failure_fits_into_a_property_and_keeps_the_end_of_its_trace(message: str, trace: str) -> None:
    ending = Ending("FAILED", 1, code="c" * 256, message=message, stack_trace=trace)

    told = failure_property(ending, 1, 1)

    (value,) = told.values()
    assert len(value) <= MAX_VALUE_CHARACTERS
    read = failures_of(told, 1)[1]
    assert message.startswith(read.message)
    assert trace.endswith(read.stack_trace)
    assert len(read.message) >= min(len(message), 100)
