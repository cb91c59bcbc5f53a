"""Section 14: runs below runs."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from runstream.core import Run
from runstream.exceptions import UserErrorException


def test_a_child_is_a_running_run_of_the_same_experiment(run: Run) -> None:
    child, named = run.child_run(), run.child_run("fold 1")

    assert uuid.UUID(child.id).version == 4
    assert (child.status, child.experiment.id, child.parent.id) == ("Running", run.experiment.id, run.id)  # type: ignore[union-attr]
    assert named.name == f"run_{run.id}>fold 1"
    assert run.child_run(run_id="chosen").id == "chosen"


def test_a_child_is_a_context_manager(run: Run) -> None:
    with run.child_run() as child:
        assert child.get_status() == "Running"

    assert (child.get_status(), run.get_status()) == ("Completed", "Running")


def test_children_by_number_are_tagged_in_order(run: Run) -> None:
    children = run.create_children(count=12)

    assert [child.tags for child in children] == [{"azureml.batch_child_number": str(n)} for n in range(12)]
    assert {child.status for child in children} == {"Running"}
    assert {child.id for child in run.get_children()} == {child.id for child in children}


def test_children_by_values_are_tagged_in_order(run: Run) -> None:
    children = run.create_children(tag_key="rate", tag_values=["0.2", "0.1", None])

    assert [child.tags for child in children] == [{"rate": "0.2"}, {"rate": "0.1"}, {"rate": None}]


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"count": 1, "tag_key": "a", "tag_values": ["1"]},
        {"tag_key": "a"},
        {"tag_values": ["1"]},
        {"count": 101},
        {"count": -1},
        {"tag_key": "a", "tag_values": ["1"] * 101},
        {"count": 1, "tag_key": "a"},
    ],
)
def test_other_ways_to_say_which_children_are_refused(run: Run, arguments: dict[str, Any]) -> None:
    with pytest.raises(UserErrorException):
        run.create_children(**arguments)
    assert list(run.get_children()) == []


def test_a_hundred_children_can_be_made_at_once(run: Run) -> None:
    assert len({child.id for child in run.create_children(count=100)}) == 100
    assert run.create_children(count=0) == run.create_children(tag_key="a", tag_values=[]) == []


def test_descendants_are_listed_without_the_run_itself(run: Run) -> None:
    child = run.child_run()
    below = child.child_run()
    other = run.child_run()

    assert [each.id for each in run.get_children()] == [other.id, child.id]
    assert [each.id for each in run.get_children(recursive=True)] == [other.id, below.id, child.id]
    assert [each.id for each in below.get_children(recursive=True)] == []


def test_children_are_selected_by_every_filter(run: Run) -> None:
    first, second = run.create_children(tag_key="rate", tag_values=["0.1", "0.2"])
    first.add_properties({"author": "ada"})
    second.complete()

    def ids(**filters: Any) -> list[str]:
        return [child.id for child in run.get_children(**filters)]

    assert ids(tags={"rate": "0.1"}) == ids(properties="author") == ids(status="Running") == [first.id]
    assert ids(status="Completed") == [second.id]
    assert ids(type="azureml.scriptrun") == []


def test_parents_chain_up_to_the_root(run: Run) -> None:
    current = run
    for _ in range(5):
        current = current.child_run()

    walked = [current]
    while (parent := walked[-1].parent) is not None:
        walked.append(parent)

    assert len(walked) == 6
    assert walked[-1].id == run.id


def test_an_ended_run_can_have_new_children(run: Run) -> None:
    run.complete()

    assert run.child_run().get_status() == "Running"


def test_children_are_made_by_many_threads_at_once(run: Run) -> None:
    with ThreadPoolExecutor(8) as threads:
        made = set(threads.map(lambda _: run.child_run().id, range(24)))

    assert {child.id for child in run.get_children()} == made


def test_a_metric_logged_on_a_parent_of_a_child_arrives_at_the_root(run: Run) -> None:
    child = run.child_run()
    root = child.parent
    assert root is not None
    root.log("mse", 0.5)
    child.parent.log("mse", 0.25)  # type: ignore[union-attr]
    child.log("loss", 1.5)

    assert run.get_metrics() == {"mse": [0.5, 0.25]}
    assert run.get_metrics(recursive=True) == {run.id: {"mse": [0.5, 0.25]}, child.id: {"loss": 1.5}}
