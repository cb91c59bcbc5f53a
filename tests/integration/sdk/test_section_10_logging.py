"""Section 10: what is logged is stored as it was meant, and nothing that cannot be stored stops a training."""

import logging
import re
import threading
from collections.abc import Callable

import pytest

from runstream.core import Run
from runstream.exceptions import AzureMLException
from tests.logged import Plot, kept, told, warned


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="runstream")


def test_the_order_of_a_metric_is_that_of_the_calls(run: Run) -> None:
    for number in range(500):
        run.log("number", number)

    assert kept(run) == {"number": list(range(500))}


def test_what_is_logged_on_passing_objects_is_kept(run: Run) -> None:
    child = run.child_run()
    assert child.parent is not None
    child.parent.log("mse", 0.5)
    Run(run.experiment, run.id).log("mse", 0.25)

    assert run.get_metrics() == {"mse": [0.5, 0.25]}


def test_a_name_may_be_logged_any_number_of_times_and_values_and_lists_join(run: Run) -> None:
    run.log("mixed", 1)
    run.log_list("mixed", [2, 3])
    run.log("mixed", 4)
    run.log_row("table", x=1, y=2)
    run.log_table("table", {"x": [2, 3], "y": [3, 4]})

    assert kept(run) == {"mixed": [1, 2, 3, 4], "table": {"x": [1, 2, 3], "y": [2, 3, 4]}}


def test_a_name_is_stored_as_given(run: Run) -> None:
    names = ["Hello from child run ", " ", "n" * 255, "ü/ö\\", "a.b:c"]
    for name in names:
        run.log(name, 1)
        run.log_row(f"{name[:254]}!", x=1)

    assert kept(run).keys() == {*names, *(f"{name[:254]}!" for name in names)}


def test_steps_are_stored_and_may_be_left_out(run: Run) -> None:
    run.log("loss", 1.0, step=7)
    run.log("loss", 2.0)
    run.log("loss", 3.0, "how wrong", 3)

    assert kept(run) == {"loss": [1.0, 2.0, 3.0]}
    assert list(run.get_series("loss").steps) == [7, 1, 3]


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (lambda run: run.log("m", 1), lambda run: run.log_row("m", x=1)),
        (lambda run: run.log_row("m", x=1), lambda run: run.log("m", 1)),
        (lambda run: run.log_table("m", {"x": [1]}), lambda run: run.log_list("m", [1])),
        (lambda run: run.log("m", 1), lambda run: run.log_image("m", plot=Plot())),
        (lambda run: run.log_image("m", plot=Plot()), lambda run: run.log_metrics({"m": 1})),
    ],
)
def test_a_metric_has_one_kind(
    run: Run, first: Callable[[Run], None], second: Callable[[Run], None], caplog: pytest.LogCaptureFixture
) -> None:
    first(run)
    run.flush()
    before = run.get_metrics()

    second(run)
    second(run)

    assert len(told(caplog)) == 1
    with pytest.raises(AzureMLException, match=r"'m' \(MIXED_KINDS: .*one kind"):
        run.flush()
    run.flush()
    assert run.get_metrics() == before
    run.complete()
    assert run.get_status() == "Completed"
    (warning,) = warned(run, 1)
    assert "MIXED_KINDS" in warning


def test_kinds_are_told_apart_across_processes_too(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log("m", 1)
    run.flush()
    run._spool().finish()
    run.log_row("m", x=1)

    with pytest.raises(AzureMLException, match=r"'m' \(MIXED_KINDS"):
        run.flush()
    assert run.get_metrics() == {"m": 1}
    assert len(told(caplog)) == 1
    assert re.search(r"refused in all: 1 \(MIXED_KINDS: .+\): 1 of 'm'", run.get_details()["warnings"][-1]["message"])


def test_a_rejection_is_told_at_once_and_never_fails_the_run(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with run:
        run.log("n" * 256, 1)
        assert len(told(caplog)) == 1
        run.log_table("table", {"c" * 256: 1})
        run.log_table("wide", {f"c{number}": number for number in range(251)})
        assert len(told(caplog)) == 3

    assert run.get_status() == "Completed"
    texts = " ".join(warned(run, 3))
    assert "a name has 1 to 255 characters" in texts
    assert "the name of a column has 1 to 255 characters" in texts
    assert "a table has 250 columns at most, not 251" in texts


def test_there_is_no_log_metric() -> None:
    assert not hasattr(Run, "log_metric")


# Beyond v1


def test_many_metrics_are_logged_at_once(run: Run) -> None:
    run.log_metrics({"loss": 0.5, "accuracy": 1, "name": "text"}, step=3)
    run.log_metrics({"loss": 0.25, "accuracy": 2, "n" * 256: 1}, step=4)
    run.log_metrics({})

    with pytest.raises(AzureMLException, match="INVALID_NAME"):
        run.flush()
    assert run.get_metrics() == {"loss": [0.5, 0.25], "accuracy": [1, 2], "name": "text"}
    assert list(run.get_series("loss").steps) == [3, 4]


def test_threads_log_to_one_run(run: Run) -> None:
    def log(name: str) -> None:
        for number in range(200):
            run.log_row(name, x=number)

    threads = [threading.Thread(target=log, args=(f"t{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert kept(run) == {f"t{number}": {"x": list(range(200))} for number in range(4)}
