"""Section 15: finding runs."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import ComputeTarget, Experiment, Run
from runstream.core._run.listing import PAGE_SIZE

LABELS = st.text(st.characters(exclude_categories=["C"]) | st.sampled_from('"*\\:=.()-'), min_size=1, max_size=30)


def ids(runs: Any) -> list[str]:
    return [run.id for run in runs]


def start(exp: Experiment, run_id: str) -> Run:
    return exp.start_logging(run_id=run_id, snapshot_directory=None, outputs=False)


@pytest.fixture
def runs(exp: Experiment) -> list[Run]:
    """Three runs, the oldest first."""
    return [start(exp, run_id) for run_id in ("first", "second", "third")]


def test_runs_come_newest_first_without_children(exp: Experiment, runs: list[Run]) -> None:
    runs[0].child_run(run_id="child").child_run(run_id="grandchild")

    assert ids(exp.get_runs()) == ids(Run.list(exp)) == ["third", "second", "first"]
    assert ids(exp.get_runs(include_children=True)) == ["grandchild", "child", "third", "second", "first"]


def test_a_listing_is_an_iterator(exp: Experiment, runs: list[Run]) -> None:
    listing = exp.get_runs()

    assert next(listing).id == "third"
    assert next(listing).id == "second"
    assert ids(listing) == ["first"]
    assert next(listing, None) is None
    with pytest.raises(TypeError):
        len(listing)  # type: ignore[arg-type]


def test_printing_a_listing_shows_runs_and_uses_up_nothing(exp: Experiment, runs: list[Run]) -> None:
    listing = exp.get_runs()

    assert "third, second, first" in repr(listing)
    assert "digits" in str(listing)
    assert ids(listing) == ["third", "second", "first"]
    assert "none" in repr(runs[0].get_children())


def test_a_listing_goes_on_behind_its_first_page_up_to_its_limit(exp: Experiment, runs: list[Run]) -> None:
    children = [child.id for _ in range(PAGE_SIZE // 100) for child in runs[0].create_children(count=100)]
    found = ids(exp.get_runs(include_children=True))

    assert sorted(found) == sorted([*children, "third", "second", "first"])
    assert found[-3:] == ["third", "second", "first"]
    assert ids(exp.get_runs(include_children=True, limit=PAGE_SIZE + 2)) == found[:-1]
    assert ids(exp.get_runs(limit=1)) == ["third"]
    assert ids(exp.get_runs(limit=0)) == []


def test_tags_and_properties_select_by_key_or_by_value(exp: Experiment, runs: list[Run]) -> None:
    first, second, third = runs
    first.set_tags({"quality": "fantastic run", "worth another look": None})
    second.tag("quality", "poor")
    third.tag("worth another look", "yes")
    first.add_properties({"author": "ada"})

    assert ids(exp.get_runs(tags="quality")) == ["second", "first"]
    assert ids(exp.get_runs(tags="worth another look")) == ["third", "first"]
    assert ids(exp.get_runs(tags={"worth another look": None})) == ["first"]
    assert ids(exp.get_runs(tags={"quality": "fantastic run", "worth another look": None})) == ["first"]
    assert ids(exp.get_runs(tags={"quality": "fantastic*"})) == []
    assert ids(exp.get_runs(properties="author")) == ids(exp.get_runs(properties={"author": "ada"})) == ["first"]
    assert ids(exp.get_runs(properties={"author": "ada"}, tags={"quality": "poor"})) == []
    assert ids(exp.get_runs(tags={})) == ["third", "second", "first"]


@pytest.mark.parametrize("labels", [["a"], 3, ("a", "b")])
def test_other_filters_are_a_value_error(exp: Experiment, labels: Any) -> None:
    with pytest.raises(ValueError, match="dictionary"):
        exp.get_runs(tags=labels)
    with pytest.raises(ValueError, match="dictionary"):
        Run.list(exp, properties=labels)


def test_type_is_the_type_or_the_source(exp: Experiment, runs: list[Run], call: Any) -> None:
    run = run_pb2.Run(experiment=exp._record.name, run_type="hyperdrive", hidden=False)
    call(exp.workspace, "CreateRun", api.CreateRunRequest(parent=exp.workspace._record.name, run=run, run_id="typed"))
    runs[1].add_properties({"azureml.runsource": "hyperdrive"})

    assert set(ids(exp.get_runs(type="hyperdrive"))) == {"typed", "second"}
    assert set(ids(exp.get_runs("hyperdrive"))) == {"typed", "second"}


def test_status_times_and_limit_select(exp: Experiment, runs: list[Run]) -> None:
    runs[1].complete()
    middle = datetime.strptime(runs[1].get_details()["startTimeUtc"], "%Y-%m-%dT%H:%M:%S.%fZ").replace(tzinfo=UTC)

    assert ids(exp.get_runs(status="Completed")) == ids(Run.list(exp, status="Completed")) == ["second"]
    assert ids(exp.get_runs(status="Running")) == ["third", "first"]
    assert ids(exp.get_runs(start_after=middle)) == ["third"]
    assert ids(exp.get_runs(start_before=middle)) == ["first"]
    assert ids(exp.get_runs(start_after=(middle - timedelta(microseconds=1)).replace(tzinfo=None), limit=1)) == [
        "third"
    ]


def test_hidden_runs_are_left_out(exp: Experiment, runs: list[Run], call: Any) -> None:
    run = run_pb2.Run(experiment=exp._record.name, hidden=True)
    call(exp.workspace, "CreateRun", api.CreateRunRequest(parent=exp.workspace._record.name, run=run, run_id="hidden"))

    assert ids(exp.get_runs(include_children=True)) == ["third", "second", "first"]


def test_runs_of_a_compute_target_are_listed(exp: Experiment, runs: list[Run], call: Any) -> None:
    run = run_pb2.Run(experiment=exp._record.name, target="local")
    call(exp.workspace, "CreateRun", api.CreateRunRequest(parent=exp.workspace._record.name, run=run, run_id="local"))
    local = ComputeTarget(exp.workspace, "local")

    assert ids(Run.list_by_compute(local)) == ["local"]
    assert ids(Run.list_by_compute(local, status="Queued")) == []


def test_a_change_is_seen_by_the_next_query(exp: Experiment, runs: list[Run]) -> None:
    for number in range(20):
        runs[0].tag("number", number)
        assert ids(exp.get_runs(tags={"number": str(number)})) == ["first"]
        runs[0].add_properties({f"p{number}": "1"})
        assert ids(exp.get_runs(properties={f"p{number}": "1"})) == ["first"]


@settings(max_examples=40)
@given(key=LABELS, value=LABELS | st.just(""), other=LABELS)
def test_any_tag_finds_exactly_the_run_that_has_it(
    exp: Experiment, runs: list[Run], key: str, value: str, other: str
) -> None:
    first, second, third = runs
    for run in runs:
        run.remove_tags(list(run.get_tags()))
    first.tag(key, value)
    second.tag(key, f"{value}x")
    third.tag(f"{key}x", value)

    assert ids(exp.get_runs(tags={key: value})) == ["first"]
    assert ids(exp.get_runs(tags=key)) == ["second", "first"]
    assert ids(exp.get_runs(tags={key: None})) == []
    assert ids(exp.get_runs(tags={f"{key}x": value})) == ["third"]
    assert ids(exp.get_runs(tags={key: value, f"{key}x": other})) == []
