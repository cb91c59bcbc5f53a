"""Section 13: tags and properties."""

import logging

import pytest

from runstream.core import Experiment, Run
from runstream.exceptions import UserErrorException


def test_tags_are_merged_and_removed(exp: Experiment, run: Run) -> None:
    run.tag("quality", "good")
    run.tag("worth another look")
    run.set_tags({"quality": "fantastic run", "a b/c: ü": ""})
    assert run.tags == {"quality": "fantastic run", "worth another look": None, "a b/c: ü": ""}

    run.remove_tags(["quality", "never there"])

    assert run.get_tags() == Run(exp, run.id).tags == {"worth another look": None, "a b/c: ü": ""}


def test_other_values_than_texts_become_texts_with_a_warning(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "runstream"):
        run.tag("rank", 1)
        run.set_tags({"rate": 0.5, "on": True})
        run.add_properties({"count": 3})

    assert run.get_tags() == {"rank": "1", "rate": "0.5", "on": "True"}
    assert run.get_properties() == {"count": "3"}
    assert len(caplog.records) == 4


@pytest.mark.parametrize("tags", ["text", ["a"], None])
def test_tags_are_a_dictionary(run: Run, tags: object) -> None:
    with pytest.raises(UserErrorException):
        run.set_tags(tags)  # type: ignore[arg-type]


def test_nothing_to_set_is_nothing_to_do(run: Run) -> None:
    run.set_tags({})
    run.add_properties({})
    run.remove_tags([])

    assert (run.get_tags(), run.get_properties()) == ({}, {})


def test_properties_are_only_added(run: Run) -> None:
    run.add_properties({"author": "ada", "ContentSnapshotId": "1", "azureml.x": "2", "mlflow.y": "3"})
    run.add_properties({"author": "ada", "more": "1"})
    run.complete()
    run.add_properties({"late": "1"})

    with pytest.raises(UserErrorException) as caught:
        run.add_properties({"fresh": "1", "author": "eve"})

    for part in ("author", "ada", "eve"):
        assert part in caught.value.message
    assert run.get_properties() == {
        "author": "ada",
        "ContentSnapshotId": "1",
        "azureml.x": "2",
        "mlflow.y": "3",
        "more": "1",
        "late": "1",
    }


def test_what_a_caller_changes_in_cached_tags_stays_with_the_caller(run: Run) -> None:
    run.tag("a", "1")
    run.tags["b"] = "2"
    run.properties["c"] = "3"

    assert (run.tags, run.properties) == ({"a": "1"}, {})
