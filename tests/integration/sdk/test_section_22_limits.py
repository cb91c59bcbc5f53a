"""Section 22: at each limit and one beyond it."""

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import AzureMLException, UserErrorException


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
    tags, properties = {"ü" * 250: "v" * 10_000}, {"ü" * 260: "v" * 10_000}
    run.set_tags(tags)
    run.add_properties(properties)
    exp.set_tags({"ü" * 250: "v"})
    assert (run.get_tags(), run.get_properties()) == (tags, properties)

    for key, value in (("k" * 251, "v"), ("k", "v" * 10_001), ("", "v")):
        with pytest.raises(UserErrorException):
            run.set_tags({key: value})
    for key, value in (("k" * 261, "v"), ("k", "v" * 10_001), ("", "v")):
        with pytest.raises(UserErrorException):
            run.add_properties({key: value})


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


def test_a_long_text_is_cut_with_a_mark_and_a_warning(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    run.log("text", "t" * 10_000)
    run.log_row("row", text="t" * 10_000)
    assert not caplog.records
    run.log("text", "t" * 10_001)
    run.log_row("row", text="t" * 10_001)
    assert len([record for record in caplog.records if "longer than 10,000 characters" in record.getMessage()]) == 2

    cut = "t" * (10_000 - len("…[cut]")) + "…[cut]"
    assert run.get_metrics() == {"text": ["t" * 10_000, cut], "row": {"text": ["t" * 10_000, cut]}}


def test_a_table_has_two_hundred_and_fifty_columns_with_long_names(run: Run) -> None:
    widest = {"c" * 252 + f"{number:03}": [number, -number] for number in range(250)}
    run.log_table("table", widest)

    assert run.get_metrics() == {"table": widest}
    for beyond in ({**widest, "one more": [1, 2]}, {"c" * 256: [1]}, {"": [1]}, {"a\0": [1]}):
        run.log_table("table", beyond)
        with pytest.raises(AzureMLException, match="'table'"):
            run.flush()
    assert run.get_metrics() == {"table": widest}


def test_a_row_that_no_message_can_hold_is_refused(run: Run) -> None:
    run.log_row("row", **{f"c{number}": "x" * 10_000 for number in range(60)})  # type: ignore[arg-type]
    run.flush()
    run.log_row("row", **{f"c{number}": "x" * 10_000 for number in range(70)})  # type: ignore[arg-type]

    with pytest.raises(AzureMLException, match="ROW_TOO_LARGE"):
        run.flush()
    assert len(run.get_metrics()["row"]) == 60


def test_a_run_takes_ten_thousand_metrics(run: Run) -> None:
    run.log_metrics({f"m{number}": number for number in range(10_000)})
    run.flush()

    assert [run.get_metrics(f"m{number}") for number in (0, 9_999)] == [{"m0": 0}, {"m9999": 9_999}]


def test_a_metric_that_is_refused_does_not_fail_the_run(run: Run) -> None:
    run.log("m" * 256, 1)
    run.complete()

    assert run.get_status() == "Completed"
