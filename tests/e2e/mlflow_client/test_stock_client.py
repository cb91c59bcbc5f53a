"""A stock client of MLflow finds everything that it does with a server of its own, and the SDK sees the same."""

import re
from typing import Any

import pytest

from runstream.core import Run
from tests.e2e.mlflow_client.conftest import Played

ABSENT = (
    r"GET .*/mlflow/experiments/get-by-name",  # how it asks whether there is one
    r"GET .*/mlflow/(experiments|runs|registered-models)/get",
    r"POST .*/mlflow/runs/delete-tag",
    r"GET .*/mlflow-artifacts/artifacts/.*/line",  # how it asks whether a run has such files, or a model of that name
    r".* .*(/traces|/v1/traces).*",
)
"""What may be answered with 404: what is not there, and traces."""

ERRORS = [
    "Run with id=ffffffffffffffffffffffffffffffff not found",
    "No Experiment with id=987654 exists",
    "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for run ID='RUN'. "
    "Attempted logging new value 'other'.",
    "Experiment(name=acceptance) already exists.",
    "No tag with name: absent in run with id RUN",
]


@pytest.fixture
def results(played: Played) -> dict[str, Any]:
    """What the program read back."""
    return played.results


def sdk_run(played: Played, row: str, key: str = "run") -> Run:
    return Run.get(played.ws, played.results[row][key])


def without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def test_no_part_of_the_program_fails(results: dict[str, Any]) -> None:
    failures = {row: read["failure"] for row, read in results.items() if isinstance(read, dict) and "failure" in read}

    assert not failures, "\n".join(f"{row}: {text}" for row, text in failures.items())


def test_nothing_is_missing_but_what_is_not_there(played: Played) -> None:
    missing = [each for each in played.exchanges if each.status == 404]
    broken = [each for each in played.exchanges if each.status >= 500]

    assert [each for each in missing if not any(re.fullmatch(shape, each.shape) for shape in ABSENT)] == []
    assert [each for each in missing if "ENDPOINT_NOT_FOUND" in each.answer and "traces" not in each.path] == []
    assert broken == []


def test_an_experiment_is_made_once_and_found_by_its_name(results: dict[str, Any]) -> None:
    read = results["experiment"]

    assert len(set(read["ids"])) == 1
    assert read["ids"][0].isdecimal()
    assert (read["name"], read["stage"], read["tags"]) == ("acceptance", "active", {"team": "vision"})
    assert read["unknown"] is None


def test_what_a_run_logs_is_read_back(results: dict[str, Any]) -> None:
    read = results["values"]

    assert (read["status"], read["name"], read["ordered"]) == ("FINISHED", "values", True)
    assert read["metrics"] == {
        "loss": "1.25",
        "odd/name with.dots-1": "nan",
        "top": "inf",
        "a": "1.0",
        "b": "-inf",
        "late": "4.5",
    }
    assert read["params"] == {"lr": "0.1", "depth": "3", "empty": "", "late": "yes"}
    assert read["tags"] == {"first": "1", "quality": "good", "x": "1"}
    assert {"mlflow.note.content", "mlflow.runName", "mlflow.source.name", "mlflow.user"} <= set(read["system"])
    assert (read["history"], read["unknown"]) == ([[0, 3.0], [1, 2.5], [2, 1.25]], [])


def test_the_sdk_sees_the_run_of_mlflow(played: Played) -> None:
    run = sdk_run(played, "values")
    metrics = run.get_metrics()

    assert (run.get_status(), run.display_name, run.description) == ("Completed", "values", "a note")
    assert (metrics["loss"], metrics["late"]) == ([3.0, 2.5, 1.25], 4.5)
    assert {"first": "1", "quality": "good", "x": "1"}.items() <= run.get_tags().items()
    assert {"params.lr": "0.1", "params.depth": "3", "params.empty": ""}.items() <= run.get_properties().items()
    assert run.experiment.name == "acceptance"


def test_a_batch_that_is_sent_twice_is_stored_once(played: Played) -> None:
    read = played.results["batch"]

    assert without(read, "run") == {
        "count": 980,
        "last": [[489, 1.0]],
        "latest": {"loss": 1.0},
        "params": 151,
        "status": "FAILED",
        "end_time": 1_700_000_005_000,
    }
    assert len(sdk_run(played, "batch").get_metrics()["loss"]) == 980


def test_files_are_listed_and_fetched(played: Played) -> None:
    read = played.results["files"]
    names = ["config.json", "more/deep/empty.bin", "notes/notes.txt", "table.json", "texts/odd name +é.txt"]

    assert [each[:2] for each in read["root"]] == [
        *(["config.json", False], ["more", True], ["notes", True], ["table.json", False], ["texts", True]),
    ]
    assert (read["notes"], read["nothing"]) == ([["notes/notes.txt", False, len("replaced")]], [])
    assert read["fetched"] == names
    assert (read["text"], read["replaced"], read["dict"]) == ("some text", "replaced", {"a": [1, 2]})
    assert set(names) <= set(sdk_run(played, "files").get_file_names())


def test_pictures_of_a_step_have_their_names(results: dict[str, Any]) -> None:
    read = results["images"]

    assert len(read["names"]) == 2
    assert all(re.match(r"images/dogs[+%]step[+%]3", name) for name in read["names"])
    assert read["tag"] == "True"


def test_inputs_of_runs_are_kept_and_searched(results: dict[str, Any]) -> None:
    assert results["inputs"] == {
        "name": "points",
        "digest": True,
        "source": '{"url": "https://example.com/data.csv"}',
        "tags": {"fold": "1", "mlflow.data.context": "training"},
        "searched": [True],
    }


def test_a_run_within_another_one_is_its_child_for_the_sdk_too(played: Played) -> None:
    read = played.results["nested"]

    assert (read["found"], read["parent"]) == ([read["inner"]], read["outer"])
    assert [each.id for each in sdk_run(played, "nested", "outer").get_children()] == [read["inner"]]


def test_a_run_that_is_resumed_stores_more_and_stays_ended(played: Played) -> None:
    read = played.results["resumed"]

    assert (read["status"], read["name"], read["tag"]) == ("FINISHED", "renamed", "renamed")
    assert read["history"] == [[0, 1.0], [1, 2.0]]
    assert sdk_run(played, "resumed").get_metrics() == {"m": [1.0, 2.0]}


def test_how_a_run_ended_is_known(results: dict[str, Any]) -> None:
    assert results["failed"] == ["FAILED", "KILLED"]


def test_runs_are_searched_in_pages(results: dict[str, Any]) -> None:
    read = results["searches"]

    assert read["pages"] == [["run-4", "run-3"], ["run-2", "run-1"], ["run-0"]]
    assert read["frame"] == ["0", "1", "2", "3", "4"]
    assert read["columns"] == ["metrics.val loss", "run_id", "status", "tags.parity"]
    assert read["chosen"] == ["run-2", "run-4"]
    assert "it was not refused" not in read["wrong"]


def test_runs_and_experiments_are_deleted_and_restored(results: dict[str, Any]) -> None:
    read = results["lifecycles"]

    assert (read["deleted"], read["archived"], read["restored"]) == (
        *(["deleted", 0, 1, 1], ["deleted", "deleted"], ["active", "active"]),
    )
    assert "The run RUN must be in the 'active' state. Current state is deleted." in read["refused"]
    assert (read["named"], read["default"]) == ([["renamed", {"t": "1"}]], "Default")
    assert {"Default", "acceptance", "renamed", "searched"} == set(read["all"])


def test_errors_have_the_words_that_users_know(results: dict[str, Any]) -> None:
    for told, expected in zip(results["errors"], ERRORS, strict=True):
        assert expected in told


def test_a_model_is_logged_found_and_loaded(played: Played) -> None:
    read = played.results["model"]

    assert (read["status"], read["name"], read["source"]) == ("READY", "line", True)
    assert {"kind": "line"}.items() <= read["params"].items()
    assert read["metrics"] == [["rmse", 0.5, True]]
    assert (read["found"], read["outputs"]) == ([True], [True])
    assert (read["by_id"], read["by_run"], read["by_uri"]) == (8.0, 8.0, 8.0)
    assert {"MLmodel", "model.pkl", "requirements.txt"} <= set(read["files"])
    assert sdk_run(played, "model").get_metrics()["rmse"] == 0.5


def test_a_model_without_a_run_has_tags_and_goes(results: dict[str, Any]) -> None:
    assert results["model_alone"] == {"type": "agent", "tags": {"stage": "test"}, "params": {"a": "1"}, "left": 0}


def test_what_is_logged_by_itself_is_there(played: Played) -> None:
    read, run = played.results["autolog"], sdk_run(played, "autolog")

    assert (read["C"], read["tag"], read["models"]) == ("0.5", "LogisticRegression", 1)
    assert {"training_accuracy_score", "training_score"} <= set(read["metrics"]) == set(run.get_metrics())
    assert {"estimator.html", "training_confusion_matrix.png"} <= set(read["files"])
    assert {"estimator.html", "training_confusion_matrix.png"} <= set(run.get_file_names())


def test_models_are_registered_in_versions(results: dict[str, Any]) -> None:
    read = results["registry"]

    assert (read["versions"], read["found"]) == (["1", "2"], ["1", "2"])
    assert (read["description"], read["tags"], read["aliases"]) == ("of houses", {"team": "vision"}, {"champion": "2"})
    assert read["models"] == ["house prices"]
    assert read["champion"] == ["2", "READY", "", {"tested": "yes"}]
    assert read["first"] == ["1", "READY", "the first", {"old": "yes"}]
    assert (read["predicted"], read["registrations"]) == ([12.0, 12.0], True)


def test_registered_models_are_moved_renamed_and_removed(results: dict[str, Any]) -> None:
    assert results["registry_ends"] == {
        "production": ["2"],
        "tags": {},
        "aliases": {},
        "gone": "RESOURCE_DOES_NOT_EXIST",
    }
