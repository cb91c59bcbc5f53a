"""Section 11: what was logged reads back in the shapes that scripts expect, and in full beyond them."""

import datetime
import json
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from runstream.core import Experiment, Run
from runstream.core._series import EPOCH
from runstream.core.series import ArtifactMetric, Series
from runstream.exceptions import UserErrorException

PNG = b"\x89PNG\r\n\x1a\n and so on"
MATRIX = {
    "schema_type": "confusion_matrix",
    "schema_version": "1.0.0",
    "data": {"class_labels": ["a", "b"], "matrix": [[1, 2], [3, 4]]},
}
URI = "aml://artifactId/ExperimentRun/dcid"


def test_every_shape_reads_back(run: Run) -> None:
    Path("a.png").write_bytes(PNG)
    run.log("once", 1)
    run.log("twice", 1)
    run.log("twice", 2)
    run.log_list("list", [1, 2])
    run.log_list("one", ["a"])
    run.log("both", 1)
    run.log_list("both", [2, 3])
    run.log_row("row", x=1, y="a")
    run.log_table("short table", {"x": [1], "y": ["a"]})
    run.log_row("rows", x=1)
    run.log_row("rows", x=2)
    run.log_table("table", {"x": [1, 2], "y": ["a", None]})
    run.log_image("image", path="a.png")
    run.log_confusion_matrix("matrix", MATRIX)
    run.log_confusion_matrix("matrix", {**MATRIX, "data": {"class_labels": [], "matrix": []}})
    run.flush()

    assert run.get_metrics() == {
        "once": 1,
        "twice": [1, 2],
        "list": [1, 2],
        "one": "a",
        "both": [1, 2, 3],
        "row": {"x": 1, "y": "a"},
        "short table": {"x": 1, "y": "a"},
        "rows": {"x": [1, 2]},
        "table": {"x": [1, 2], "y": ["a", None]},
        "image": f"{URI}.{run.id}/a.png",
        "matrix": f"{URI}.{run.id}/matrix",
    }


def test_artifacts_are_objects_when_populated(run: Run) -> None:
    Path("a.png").write_bytes(PNG)
    run.log("value", 1)
    run.log_image("image", path="a.png")
    run.log_confusion_matrix("matrix", json.dumps(MATRIX))

    found: dict[str, Any] = run.get_metrics(populate=True)
    image, matrix = found["image"], found["matrix"]

    assert found["value"] == 1
    assert isinstance(image, ArtifactMetric)
    assert (image.filename, image.data, image.metric_type) == ("a.png", PNG, "azureml.v1.image")
    assert image.data_location == f"{URI}.{run.id}/a.png"
    with pytest.raises(UserErrorException, match="image"):
        image.convert_to_object()
    assert (matrix.filename, matrix.metric_type) == ("matrix", "azureml.v1.confusion_matrix")
    assert json.loads(matrix.data) == matrix.convert_to_object() == MATRIX


def test_integers_among_doubles_are_doubles(run: Run) -> None:
    run.log("value", 1)
    run.log("value", 0.5)
    run.log_row("row", x=1, y=1)
    run.log_row("row", x=0.5, y=2)

    found = run.get_metrics()

    assert found == {"value": [1.0, 0.5], "row": {"x": [1.0, 0.5], "y": [1, 2]}}
    assert [type(value) for value in (*found["value"], *found["row"]["x"], *found["row"]["y"])] == [float] * 4 + [
        int
    ] * 2


def test_one_metric_is_read_and_an_unknown_one_is_absent(run: Run) -> None:
    run.log("loss", 1)
    run.log("other", 2)

    assert run.get_metrics("loss") == {"loss": 1}
    assert run.get_metrics(name="absent") == {}


def test_metrics_of_descendants_are_read_at_once(exp: Experiment, run: Run) -> None:
    assert run.get_metrics(recursive=True) == {}
    child, silent = run.child_run(), run.child_run()
    grandchild = child.child_run()
    run.log("loss", 1)
    child.log_row("row", x=1)
    grandchild.log("loss", 2)
    for each in (child, grandchild):
        each.flush()

    assert run.get_metrics(recursive=True) == {
        run.id: {"loss": 1},
        child.id: {"row": {"x": 1}},
        grandchild.id: {"loss": 2},
    }
    assert run.get_metrics("loss", recursive=True) == {run.id: {"loss": 1}, grandchild.id: {"loss": 2}}
    assert run.get_metrics(recursive=True, run_type="azureml.scriptrun") == {run.id: {"loss": 1}}
    assert silent.get_metrics() == {}


def test_a_value_is_readable_during_and_after_the_run(run: Run) -> None:
    run.log("loss", 1)
    assert run.get_metrics() == {"loss": 1}
    run.complete()
    assert run.get_metrics() == {"loss": 1}
    assert Run(run.experiment, run.id).get_metrics() == {"loss": 1}


# Series, beyond v1


def test_a_series_has_steps_times_and_values(run: Run) -> None:
    begin = datetime.datetime.now(datetime.UTC)
    for step in range(10):
        run.log("loss", step / 2, step=10 * step)
    run.log("once", 1)

    series = run.get_series("loss")

    assert (series.name, series.run_id, series.kind, len(series), series.start_index) == (
        "loss",
        run.id,
        "values",
        10,
        0,
    )
    assert series.values.dtype == np.float64
    assert list(series.values) == [step / 2 for step in range(10)]
    assert (series.steps.dtype, list(series.steps)) == (np.int64, list(range(0, 100, 10)))
    times = [EPOCH + datetime.timedelta(microseconds=int(time)) for time in series.times.astype("int64")]
    assert times == sorted(times)
    assert begin <= times[0] <= times[-1] <= datetime.datetime.now(datetime.UTC)
    assert list(run.get_series("once").values) == [1]


def test_a_series_without_numpy_is_lists(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.log("loss", 0.5, step=3)
    run.log("loss", 1, step=4)
    series = run.get_series("loss")
    monkeypatch.setitem(sys.modules, "numpy", None)

    assert (series.steps, series.values) == ([3, 4], [0.5, 1.0])
    assert all(isinstance(time, datetime.datetime) and time.tzinfo for time in series.times)


def test_series_of_other_kinds(run: Run) -> None:
    Path("a.png").write_bytes(PNG)
    run.log_list("texts", ["a", None, 1])
    run.log_list("flags", [True, False])
    run.log_row("row", x=1)
    run.log_row("row", y=0.5)
    run.log_image("image", path="a.png")

    assert run.get_series("texts").values == ["a", None, 1]
    assert run.get_series("flags").values.dtype == np.bool_
    table = run.get_series("row")
    assert (table.kind, len(table), table.values) == ("table", 2, {"x": [1, None], "y": [None, 0.5]})
    image = run.get_series("image")
    assert (image.kind, image.values) == ("artifacts", ["a.png"])
    absent = run.get_series("absent")
    assert (absent.kind, len(absent), list(absent.steps), list(absent.values)) == ("", 0, [], [])


def test_a_part_of_a_series_is_read(run: Run) -> None:
    for step in range(10):
        run.log("loss", step, step=step)
    whole = run.get_series("loss")
    middle = EPOCH + datetime.timedelta(microseconds=int(whole.times[5].astype("int64")))

    assert list(run.get_series("loss", min_step=3, max_step=5).values) == [3, 4, 5]
    assert list(run.get_series("loss", start_index=7).values) == [7, 8, 9]
    assert run.get_series("loss", start_index=7).start_index == 7
    assert list(run.get_series("loss", start_index=2, end_index=4).values) == [2, 3]
    later, earlier = run.get_series("loss", min_time=middle), run.get_series("loss", max_time=middle)
    assert set(later.values) | set(earlier.values) == set(range(10))
    assert 5 in later.values
    assert 5 in earlier.values
    with pytest.raises(UserErrorException, match="end_index"):
        run.get_series("loss", start_index=4, end_index=4)
    with pytest.raises(UserErrorException, match="min_step"):
        run.get_series("loss", min_step="x")  # type: ignore[arg-type]


def test_pandas_is_asked_for_by_name(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run.log("loss", 0.5)
    monkeypatch.setitem(sys.modules, "pandas", None)

    with pytest.raises(UserErrorException, match="pip install pandas"):
        run.get_series("loss").to_pandas()


def test_a_tail_follows_a_run_to_its_end(run: Run) -> None:
    run.log("before", 1)
    run.log_row("row", x=1)
    run.flush()
    pieces: list[Series] = []
    seen = threading.Event()

    def follow() -> None:
        for piece in Run(run.experiment, run.id).tail_series():
            pieces.append(piece)
            seen.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert seen.wait(30)
    for number in range(100):
        run.log("loss", number, step=2 * number)
    run.complete()
    thread.join(60)

    assert not thread.is_alive()
    loss = [piece for piece in pieces if piece.name == "loss"]
    assert [value for piece in loss for value in piece.values] == list(range(100))
    assert [step for piece in loss for step in piece.steps] == list(range(0, 200, 2))
    starts = [piece.start_index for piece in loss]
    assert starts == [sum(map(len, loss[:place])) for place in range(len(loss))]
    assert {piece.name for piece in pieces} == {"before", "row", "loss"}


def test_a_tail_of_some_metrics_begins_now(run: Run) -> None:
    run.log("loss", 1)
    run.log("other", 1)
    run.complete()

    assert [piece.name for piece in run.tail_series("loss")] == ["loss"]
    assert list(run.tail_series(["loss"], from_now=True)) == []
