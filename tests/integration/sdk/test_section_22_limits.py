"""Section 22: at each limit and one beyond it."""

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import UserErrorException


def test_a_run_takes_a_thousand_tags(run: Run) -> None:
    run.set_tags({f"t{number}": "" for number in range(1000)})

    with pytest.raises(UserErrorException):
        run.tag("one more")
    assert len(run.get_tags()) == 1000


def test_a_run_takes_a_thousand_properties(run: Run) -> None:
    run.add_properties({f"p{number}": "" for number in range(1000)})

    with pytest.raises(UserErrorException):
        run.add_properties({"one more": ""})
    assert len(run.get_properties()) == 1000


def test_keys_and_values_of_labels_have_their_lengths(run: Run, exp: Experiment) -> None:
    long = {"ü" * 250: "v" * 10_000}
    run.set_tags(long)
    run.add_properties(long)
    exp.set_tags({"ü" * 250: "v"})
    assert (run.get_tags(), run.get_properties()) == (long, long)

    for beyond in ({"k" * 251: "v"}, {"k": "v" * 10_001}, {"": "v"}):
        with pytest.raises(UserErrorException):
            run.set_tags(beyond)
        with pytest.raises(UserErrorException):
            run.add_properties(beyond)


def test_names_of_runs_have_their_lengths(run: Run) -> None:
    run.display_name = "n" * 256
    run.description = "d" * 5000

    with pytest.raises(UserErrorException):
        run.display_name = "n" * 257
    with pytest.raises(UserErrorException):
        run.description = "d" * 5001


def test_a_metric_has_a_name_of_255_characters_and_a_long_text_is_cut(run: Run) -> None:
    run.log("m" * 255, "t" * 255)
    run.log("Hello from child run ", 1)

    assert run.get_metrics() == {"m" * 255: "t" * 255, "Hello from child run ": 1}


def test_a_metric_that_is_refused_does_not_fail_the_run(run: Run) -> None:
    run.log("m" * 256, 1)
    run.complete()

    assert run.get_status() == "Completed"
