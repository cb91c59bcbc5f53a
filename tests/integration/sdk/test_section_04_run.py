"""Section 4: what a run is."""

import uuid
from typing import Any

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1 import run_pb2
from runstream.core import Experiment, Run, ScriptRun, Workspace, get_run
from runstream.exceptions import ServiceException, UserErrorException


def make_typed(call: Any, exp: Experiment, run_type: str) -> str:
    run = run_pb2.Run(experiment=exp._record.name, run_type=run_type)
    request = api.CreateRunRequest(parent=exp.workspace._record.name, run=run, run_id=f"typed-{uuid.uuid4().hex}")
    return str(call(exp.workspace, "CreateRun", request).run.name.rpartition("/")[2])


def test_a_run_is_had_again_by_its_id(ws: Workspace, exp: Experiment, run: Run) -> None:
    for same in (Run(exp, run.id), Run.get(ws, run.id), get_run(exp, run.id), ws.get_run(run.id)):
        assert (same.id, same.experiment.name, same.experiment.id) == (run.id, "digits", exp.id)
        assert same.display_name == run.display_name


def test_an_unknown_id_is_a_404_with_the_id_and_the_place(ws: Workspace, exp: Experiment) -> None:
    for look in (lambda: Run(exp, "nowhere"), lambda: get_run(exp, "nowhere")):
        with pytest.raises(ServiceException, match=r"nowhere.*digits") as caught:
            look()
        assert caught.value.status_code == 404
    with pytest.raises(ServiceException, match=f"nowhere.*{ws.name}"):
        Run.get(ws, "nowhere")


def test_a_run_of_another_experiment_is_refused(ws: Workspace, run: Run) -> None:
    with pytest.raises(UserErrorException, match="digits"):
        Run(Experiment(ws, "cats"), run.id)


def test_a_run_has_a_display_name_of_its_own(exp: Experiment, run: Run) -> None:
    assert len(run.display_name.split("_")) == 3
    run.display_name = "baseline"
    run.description = "x" * 5000

    again = Run(exp, run.id)

    assert (again.display_name, again.description) == ("baseline", "x" * 5000)
    assert again.name == f"run_{run.id}"


def test_numbers_count_the_top_level_runs_of_an_experiment(ws: Workspace, exp: Experiment, run: Run) -> None:
    child = run.child_run()
    second = exp.start_logging(snapshot_directory=None)
    elsewhere = Experiment(ws, "cats").start_logging(snapshot_directory=None)

    assert [each.number for each in (run, second, elsewhere, child)] == [1, 2, 1, 0]


def test_an_id_may_have_256_characters(exp: Experiment) -> None:
    assert exp.start_logging(run_id="r" * 256, snapshot_directory=None).id == "r" * 256
    with pytest.raises(UserErrorException):
        exp.start_logging(run_id="r" * 257, snapshot_directory=None)


def test_cached_values_stay_until_they_are_read_again(exp: Experiment, run: Run) -> None:
    same = Run(exp, run.id)
    run.tag("a", "1")
    run.add_properties({"p": "1"})
    run.cancel()

    assert (same.status, same.tags, same.properties) == ("Running", {}, {})
    assert (same.get_status(), same.get_tags(), same.get_properties()["p"]) == ("Canceled", {"a": "1"}, "1")
    assert (same.status, same.tags, same.properties["p"]) == ("Canceled", {"a": "1"}, "1")


def test_a_script_run_is_an_object_of_its_own_class(ws: Workspace, exp: Experiment, call: Any) -> None:
    run_id = make_typed(call, exp, "azureml.scriptrun")

    for found in (get_run(exp, run_id), Run.get(ws, run_id), ws.get_run(run_id), next(exp.get_runs())):
        assert type(found) is ScriptRun
        assert found.type == "azureml.scriptrun"
    assert type(get_run(exp, run_id, rehydrate=False)) is Run
    assert type(next(Run.list(exp, _rehydrate_runs=False))) is Run


def test_a_type_provider_makes_the_objects_of_its_type(exp: Experiment, call: Any) -> None:
    class Sweep(Run):
        pass

    Run.add_type_provider("test.sweep", Sweep)
    Run.add_type_provider("test.made", lambda experiment, run: (experiment.name, run.id))
    sweep, made = make_typed(call, exp, "test.sweep"), make_typed(call, exp, "test.made")

    assert type(get_run(exp, sweep)) is Sweep
    found: object = get_run(exp, made)
    assert found == ("digits", made)


def test_a_run_shows_what_it_is(run: Run) -> None:
    for text in (repr(run), str(run), run._repr_html_()):
        for part in ("digits", run.id, "Running"):
            assert part in text
    assert run.get_portal_url() == run.portal_url
    assert run.portal_url in run._repr_html_()
