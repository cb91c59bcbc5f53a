"""Section 3: experiments and interactive runs."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import ServiceException, UserErrorException


def test_construction_opens_the_experiment_that_is_there(ws: Workspace, exp: Experiment) -> None:
    assert Experiment(ws, "digits").id == Experiment(workspace=ws, name="digits").id == exp.id
    assert (exp.name, exp.workspace, exp.workspace_object) == ("digits", ws, ws)


def test_many_callers_at_once_get_one_experiment(ws: Workspace) -> None:
    with ThreadPoolExecutor(16) as threads:
        ids = set(threads.map(lambda _: Experiment(ws, "contended").id, range(32)))

    assert len(ids) == 1
    assert [each.name for each in Experiment.list(ws)] == ["contended"]


@pytest.mark.parametrize("name", ["a", "9", "a" * 255, "a-b_C"])
def test_names_of_the_final_sdk_are_accepted(ws: Workspace, name: str) -> None:
    assert Experiment(ws, name).name == name


@pytest.mark.parametrize(
    "name", ["", "-a", "_a", "a b", "a" * 256, "a/b", "a.b", "caf\N{LATIN SMALL LETTER E WITH ACUTE}"]
)
def test_other_names_are_refused(ws: Workspace, name: str) -> None:
    with pytest.raises(UserErrorException):
        Experiment(ws, name)


def test_tags_are_cached_until_a_refresh(ws: Workspace, exp: Experiment) -> None:
    exp.tag("mark")
    exp.set_tags({"team": "vision", "gone": "x"})
    exp.remove_tags(["gone", "never there"])
    assert exp.tags == {"mark": None, "team": "vision"}

    Experiment(ws, "digits").tag("more", "1")

    assert "more" not in exp.tags
    exp.refresh()
    assert exp.tags == {"mark": None, "team": "vision", "more": "1"}


def test_an_archived_experiment_hides_and_its_runs_stay_readable(ws: Workspace, exp: Experiment, run: Run) -> None:
    assert exp.archived_time is None
    exp.archive()

    assert exp.archived_time is not None
    assert Experiment.list(ws) == []
    assert [each.id for each in Experiment.list(ws, view_type="ArchivedOnly")] == [exp.id]
    assert Run.get(ws, run.id).id == run.id
    assert [each.id for each in exp.get_runs()] == [run.id]


def test_the_name_of_an_archived_experiment_makes_a_new_one(ws: Workspace, exp: Experiment) -> None:
    exp.archive()
    another = Experiment(ws, "digits")

    assert another.id != exp.id
    assert {each.id for each in Experiment.list(ws, view_type="All")} == {exp.id, another.id}
    with pytest.raises(UserErrorException):
        exp.reactivate()
    another.archive()
    exp.reactivate()
    assert (Experiment(ws, "digits").id, exp.archived_time) == (exp.id, None)


def test_an_experiment_is_not_reactivated_under_another_name(exp: Experiment) -> None:
    with pytest.raises(UserErrorException):
        exp.reactivate(new_name="other")
    with pytest.raises(UserErrorException):
        exp.reactivate("other")


def test_list_is_a_list_that_filters_by_name_and_tags(ws: Workspace, exp: Experiment) -> None:
    exp.set_tags({"team": "vision", "mark": None})
    Experiment(ws, "cats")

    listed = Experiment.list(ws)

    assert isinstance(listed, list)
    assert {each.name for each in listed} == {"digits", "cats"}
    assert [each.name for each in Experiment.list(ws, experiment_name="cats")] == ["cats"]
    for tags in ("team", "mark", {"team": "vision"}, {"mark": None}, {"team": "vision", "mark": None}):
        assert [each.name for each in Experiment.list(ws, tags=tags)] == ["digits"]  # type: ignore[arg-type]
    assert Experiment.list(ws, tags={"team": None}) == []
    with pytest.raises(UserErrorException):
        Experiment.list(ws, view_type="Some")


def test_an_empty_experiment_is_deleted_and_one_with_runs_is_not(ws: Workspace, exp: Experiment) -> None:
    Experiment.delete(ws, exp.id)
    assert Experiment.list(ws, view_type="All") == []

    kept = Experiment(ws, "digits")
    kept.start_logging(snapshot_directory=None)
    with pytest.raises(UserErrorException):
        Experiment.delete(ws, kept.id)


def test_an_experiment_shows_its_name_workspace_and_page(exp: Experiment) -> None:
    for text in (repr(exp), str(exp), exp._repr_html_()):
        assert exp.name in text
        assert exp.workspace.name in text
    assert exp.portal_url == exp.get_portal_url()
    assert exp.portal_url in exp._repr_html_()


def test_start_logging_makes_a_running_run_with_a_uuid(exp: Experiment) -> None:
    run = exp.start_logging("a", 1, snapshot_directory=None)

    assert uuid.UUID(run.id).version == 4
    assert (run.get_status(), run.type, run.experiment.id) == ("Running", None, exp.id)


def test_start_logging_takes_a_name_an_id_and_a_display_name(ws: Workspace, exp: Experiment) -> None:
    run = exp.start_logging(name="n", run_id="my.run_1", display_name="baseline", snapshot_directory=None)

    assert (run.name, run.id, run.display_name) == ("n", "my.run_1", "baseline")
    assert Run.get(ws, "my.run_1").display_name == "baseline"
    with pytest.raises(UserErrorException):
        exp.start_logging(run_id="my.run_1", snapshot_directory=None)


@pytest.mark.parametrize(
    ("outputs", "folders"), [(None, ["outputs"]), (True, ["outputs"]), ("results", ["results"]), (False, [])]
)
def test_start_logging_makes_the_folder_it_tracks(
    exp: Experiment, outputs: str | bool | None, folders: list[str]
) -> None:
    exp.start_logging(outputs=outputs, snapshot_directory=None)

    assert [path.name for path in Path.cwd().iterdir() if path.is_dir()] == folders


def test_an_experiment_that_is_gone_is_not_found(ws: Workspace, exp: Experiment) -> None:
    Experiment.delete(ws, exp.id)

    with pytest.raises(ServiceException) as caught:
        exp.refresh()
    assert caught.value.status_code == 404
