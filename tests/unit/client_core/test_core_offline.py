"""Section 5.2: the offline run."""

import inspect
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from runstream import aio
from runstream._channel import loop
from runstream.core import Run
from runstream.core.run import _OfflineRun
from runstream.exceptions import AzureMLException, RunEnvironmentException, UserErrorException

PNG = b"\x89PNG\r\n\x1a\n and so on"
MATRIX = {
    "schema_type": "confusion_matrix",
    "schema_version": "1.0.0",
    "data": {"class_labels": ["a"], "matrix": [[1]]},
}
RESIDUALS = {"schema_type": "residuals", "schema_version": "1.0.0", "data": {"bin_counts": [1], "bin_edges": [0, 1]}}
PREDICTIONS = {
    "schema_type": "predictions",
    "schema_version": "1.0.0",
    "data": {"bin_averages": [0.5], "bin_errors": [0.1], "bin_counts": [1], "bin_edges": [0, 1]},
}
TABLE = {
    "schema_type": "accuracy_table",
    "schema_version": "1.0.1",
    "data": {
        "class_labels": ["a"],
        "probability_tables": [[[1, 2, 3, 4]]],
        "percentile_tables": [[[1, 2, 3, 4]]],
        "probability_thresholds": [0.5],
        "percentile_thresholds": [0.5],
    },
}


class Plot:
    """What matplotlib has."""

    def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002
        file.write(PNG)

    def __repr__(self) -> str:
        return "plot"


@pytest.fixture(autouse=True)
def outside_of_a_job(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """No job in the environment, a folder with pictures, and no thread left behind."""
    monkeypatch.chdir(tmp_path)
    for name in ("p.png", "q.png"):
        Path(name).write_bytes(PNG)
    for variable in ("AZUREML_RUN_ID", "RUNSTREAM_RUN_ID"):
        monkeypatch.delenv(variable, raising=False)
    yield
    loop.stop()


@pytest.fixture
def run() -> _OfflineRun:
    """An offline run."""
    run = Run.get_context()
    assert isinstance(run, _OfflineRun)
    return run


def test_outside_of_a_job_the_context_is_an_offline_run() -> None:
    run = Run.get_context()

    assert type(run) == _OfflineRun  # type: ignore[comparison-overlap]  # noqa: E721 - as scripts compare it
    assert run.id.startswith("OfflineRun_")
    assert run.identity == run.id


def test_an_offline_run_can_be_refused() -> None:
    with pytest.raises(RunEnvironmentException, match=r"submitted run.*experiment\.start_logging"):
        Run.get_context(allow_offline=False)


@pytest.mark.parametrize(
    ("call", "printed"),
    [
        (lambda run: run.log("a", 1), "Attempted to log scalar metric a:\n1\n"),
        (lambda run: run.log("a", 1, "text", 7), "Attempted to log scalar metric a:\n1\n"),
        (lambda run: run.log_list("a", (x for x in (1, 2))), "Attempted to log list metric a:\n[1, 2]\n"),
        (lambda run: run.log_row("a", x=1, y="b"), "Attempted to log row metric a:\n{'x': 1, 'y': 'b'}\n"),
        (lambda run: run.log_table("a", {"x": [1]}), "Attempted to log table metric a:\n{'x': [1]}\n"),
        (lambda run: run.log_metrics({"a": 1}), "Attempted to log scalar metric a:\n1\n"),
        (lambda run: run.log_image("a", path="p.png"), "Attempted to log image metric a:\np.png\n"),
        (lambda run: run.log_image("a", plot=Plot()), "Attempted to log image metric a:\nplot\n"),
        (lambda run: run.log_residuals("a", RESIDUALS), f"Attempted to log residual metric a:\n{RESIDUALS}\n"),
        (lambda run: run.log_predictions("a", PREDICTIONS), f"Attempted to log predictions metric a:\n{PREDICTIONS}\n"),
        (lambda run: run.log_accuracy_table("a", TABLE), f"Attempted to log accuracy_table metric a:\n{TABLE}\n"),
        (lambda run: run.log_confusion_matrix("a", MATRIX), f"Attempted to log confusion_matrix metric a:\n{MATRIX}\n"),
        (lambda run: run.tag("t"), "Attempted to add tag t with value None\n"),
        (lambda run: run.tag("t", "v"), "Attempted to add tag t with value v\n"),
        (lambda run: run.set_tags({"a": "b"}), "Attempted to set tags {'a': 'b'}\n"),
        (lambda run: run.add_properties({"a": "b"}), "Attempted to add properties {'a': 'b'}\n"),
        (lambda run: run.upload_file("n", "p"), "Attempted to track file n at p\n"),
        (lambda run: run.upload_files(["n"], ["p"]), "Attempted to track files ['n'] at ['p'] with timeout Nones\n"),
        (
            lambda run: run.upload_files(name=["n"], paths=["p"], timeout_seconds=3),
            "Attempted to track files ['n'] at ['p'] with timeout 3s\n",
        ),
        (lambda run: run.upload_folder("n", "p"), "Attempted to track folder n at p\n"),
        (lambda run: run.complete(), ""),
        (lambda run: run.cancel(), ""),
        (lambda run: run.flush(), "Attempted to flush run with id ID\n"),
        (lambda run: run.fail("details", "code"), "Run failed with error code code:\ndetails\n"),
        (lambda run: run.__enter__() and None, "[START] Run ID context\n"),
    ],
)
def test_calls_print_what_would_be_stored(
    run: _OfflineRun, capsys: pytest.CaptureFixture[str], call: object, printed: str
) -> None:
    call(run)  # type: ignore[operator]

    assert capsys.readouterr().out == printed.replace("ID", run.id)


def test_a_context_announces_beginning_and_end(run: _OfflineRun, capsys: pytest.CaptureFixture[str]) -> None:
    with run as entered:
        assert entered is run

    assert capsys.readouterr().out == f"[START] Run {run.id} context\n[STOP] Run {run.id} context\n"
    assert run.get_status() == "Completed"


def test_an_exception_fails_the_run_and_goes_on(run: _OfflineRun) -> None:
    with pytest.raises(ValueError, match="wrong"), run:
        raise ValueError("wrong")

    assert run.get_status() == "Failed"
    assert "User program failed with ValueError: wrong" in str(run.get_details()["error"])


@pytest.mark.parametrize(("code", "status"), [(0, "Completed"), (None, "Completed"), (3, "Failed"), ("x", "Failed")])
def test_leaving_the_program_ends_the_run_as_its_exit_code_says(
    run: _OfflineRun, code: int | str | None, status: str
) -> None:
    with pytest.raises(SystemExit), run:
        raise SystemExit(code)

    assert run.get_status() == status


def test_what_was_logged_reads_back(run: _OfflineRun) -> None:
    run.log("once", 1)
    run.log("twice", 1)
    run.log("twice", 2.5)
    run.log_list("one", [7])
    run.log_list("empty", [])
    run.log_list("both", range(2))
    run.log("both", 2)
    run.log_row("row", x=1)
    run.log_row("rows", x=1)
    run.log_row("rows", x=2, y="b")
    run.log_table("table", {"x": [1, 2], "y": [3, 4]})
    run.log_image("image", path="p.png")
    run.log_image("image", path="q.png")

    assert run.get_metrics() == {
        "once": 1,
        "twice": [1.0, 2.5],
        "one": 7,
        "empty": [],
        "both": [0, 1, 2],
        "row": {"x": 1},
        "rows": {"x": [1, 2], "y": [None, "b"]},
        "table": {"x": [1, 2], "y": [3, 4]},
        "image": f"aml://artifactId/ExperimentRun/dcid.{run.id}/p.png",
    }
    assert run.get_metrics("image", populate=True)["image"].data == PNG
    assert list(run.get_series("both").steps) == [0, 1, 2]
    assert run.get_metrics("once") == {"once": 1}
    assert run.get_metrics("absent") == {}


def test_tags_properties_and_files_read_back(run: _OfflineRun, tmp_path: Path) -> None:
    (tmp_path / "folder" / "sub").mkdir(parents=True)
    (tmp_path / "folder" / "sub" / "b.txt").write_text("b")
    run.set_tags({"a": "1", "b": None})
    run.remove_tags(["a"])
    run.add_properties({"p": "1"})
    run.upload_file("a.txt", "a.txt")
    run.upload_folder("folder", tmp_path / "folder")

    assert (run.get_tags(), run.tags) == ({"b": None}, {"b": None})
    assert run.get_properties() == {"p": "1"}
    assert run.get_file_names() == ["a.txt", "folder/sub/b.txt"]
    with pytest.raises(UserErrorException, match="p"):
        run.add_properties({"p": "2"})


def test_children_know_their_parent_and_are_found(run: _OfflineRun) -> None:
    child = run.child_run("kid")
    second, third = run.create_children(tag_key="rate", tag_values=[0.1, 0.2])

    assert child.id == f"{run.id}.kid"
    assert (run.parent, child.parent) == (None, run)
    assert list(run.get_children()) == [third, second, child]
    assert list(run.get_children(tags={"rate": "0.1"})) == [second]
    child.log("x", 1)
    assert run.get_metrics(recursive=True) == {child.id: {"x": 1}}


def test_what_needs_the_service_says_how_to_get_an_online_run(run: _OfflineRun) -> None:
    assert run.experiment.name
    assert run.experiment.workspace.name
    for call in (
        lambda: run.experiment.submit,
        lambda: run.experiment.workspace.experiments,
        lambda: run.download_file("a"),
        lambda: run.portal_url,
        lambda: run.register_model("m"),
        lambda: run.submit_child(None),
        lambda: run.take_snapshot("."),
    ):
        with pytest.raises(RunEnvironmentException, match="start_logging"):
            call()


def test_a_step_is_an_integer_of_whatever_type_as_online(run: _OfflineRun) -> None:
    run.log("loss", 0.5, step=np.int64(5))  # type: ignore[arg-type]
    run.log("loss", 0.5, step=7.0)  # type: ignore[arg-type]
    run.log("loss", 0.5, step="x")  # type: ignore[arg-type]

    assert list(run.get_series("loss").steps) == [5, 7, 2]


@pytest.mark.parametrize(
    "log",
    [
        lambda run: run.log(1, 0.5),
        lambda run: run.log_list(1, [0.5]),
        lambda run: run.log_row(1, x=1),
        lambda run: run.log_table(1, {"x": [1]}),
        lambda run: run.log_image(1, path="p.png"),
        lambda run: run.log_residuals(1, {}),
    ],
    ids=["value", "list", "row", "table", "image", "chart"],
)
def test_a_name_is_a_text_and_nothing_is_said_of_others(
    run: _OfflineRun, log: Callable[[_OfflineRun], None], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UserErrorException, match="A name is a text, not 1"):
        log(run)
    assert not capsys.readouterr().out


def test_wrong_arguments_are_refused_as_online(run: _OfflineRun) -> None:
    with pytest.raises(UserErrorException, match="log_list"):
        run.log("a", [1])
    with pytest.raises(TypeError):
        run.log_list("a", 1)  # type: ignore[arg-type]
    with pytest.raises(AzureMLException):
        run.log_image("a")
    with pytest.raises(UserErrorException, match=r"\$\.schema_type"):
        run.log_residuals("a", {})
    with pytest.raises(AzureMLException):
        run.log_table("a", {"x": [1], "y": [1, 2]})
    with pytest.raises(TypeError):
        run.fail(error_details=1)  # type: ignore[arg-type]
    with pytest.raises(UserErrorException):
        run.create_children()


def test_a_terminal_status_stays(run: _OfflineRun) -> None:
    run.cancel()
    run.complete()

    assert run.get_status() == "Canceled"
    assert run.wait_for_completion()["status"] == "Canceled"


async def test_it_has_an_awaiting_form(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    run = aio.Run.get_context()
    with caplog.at_level(logging.ERROR):
        async with run:
            run.log("a", 1)
            await run.tag("t")
            child = await run.child_run("kid")
        assert [each.id async for each in run.get_children()] == [child.id]
    assert await run.get_metrics() == {"a": 1}
    flushed = run.flush()
    assert inspect.isawaitable(flushed)
    await flushed
    assert capsys.readouterr().out.startswith(f"[START] Run {run.id} context\n")
