"""Section 10: what is logged is stored as it was meant, and nothing that cannot be stored stops a training."""

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest

from runstream.core import Run
from runstream.exceptions import AzureMLException, UserErrorException

PNG = b"\x89PNG\r\n\x1a\n"


class Plot:
    """What matplotlib has: it draws something else each time."""

    def __init__(self) -> None:
        self.drawn = 0

    def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002
        assert format == "png"
        self.drawn += 1
        file.write(PNG + bytes([self.drawn]))


class Number:
    """A tensor of one element."""

    dtype = "float32"
    shape = (1,)

    def item(self) -> float:
        return 0.5


def kept(run: Run) -> dict[str, Any]:
    """What reads back once everything is stored."""
    run.flush()
    return run.get_metrics()


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    """The warning lines about values that are not stored."""
    lines = [record.getMessage() for record in caplog.records if record.name == "runstream"]
    return [line for line in lines if "are not stored" in line]


def warned(run: Run, count: int) -> list[str]:
    """Waits for warnings of the run about values that are not stored."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        texts = [each["message"] for each in run.get_details().get("warnings", [])]
        if len(found := [text for text in texts if "are not stored" in text]) >= count:
            return found
        time.sleep(0.01)
    raise AssertionError(texts)


# General rules


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


# 10.1


@pytest.mark.parametrize(
    ("value", "stored"),
    [
        (1, 1),
        (-(2**63), -(2**63)),
        (0.5, 0.5),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
        (True, True),
        (np.bool_(False), False),
        ("text", "text"),
        (np.str_("text"), "text"),
        (None, None),
        *((getattr(np, f"{kind}{bits}")(7), 7) for kind in ("int", "uint") for bits in (8, 16, 32, 64)),
        *((getattr(np, f"float{bits}")(0.5), 0.5) for bits in (16, 32, 64)),
        (np.array(3), 3),
        (Number(), 0.5),
        (Decimal("0.5"), 0.5),
        (2**64, 2.0**64),
        ((1, 2), "(1, 2)"),
        ({"a": 1}, "{'a': 1}"),
        (b"bytes", "b'bytes'"),
    ],
)
def test_a_value_reads_back_as_the_table_says(run: Run, value: object, stored: object) -> None:
    run.log("value", value)
    run.log_row("row", value=value) if not isinstance(value, tuple | dict) else run.log_row("row", value=stored)

    found = kept(run)

    assert found == {"value": stored, "row": {"value": stored}}
    assert type(found["value"]) is type(stored)
    assert type(found["row"]["value"]) is type(stored)


def test_nan_reads_back(run: Run) -> None:
    run.log("value", math.nan)
    run.log_row("row", value=math.nan)

    found = kept(run)
    assert math.isnan(found["value"])
    assert math.isnan(found["row"]["value"])


@pytest.mark.parametrize(
    "value",
    [[1], range(3), (x for x in (1, 2)), lambda: (yield 1)],
    ids=["list", "range", "generator", "generator-function"],
)
def test_several_values_belong_into_log_list(run: Run, value: object) -> None:
    with pytest.raises(UserErrorException, match="log_list"):
        run.log("value", value)
    with pytest.raises(UserErrorException, match="log_list"):
        run.log_metrics({"good": 1, "value": value})
    assert kept(run) == {}


# 10.2


def test_a_list_is_any_iterable(run: Run) -> None:
    run.log_list("tuple", (1, 2))
    run.log_list("generator", (x for x in (1, 2)))
    run.log_list("array", np.array([1, 2]))
    run.log_list("text", "ab")
    run.log_list("dict", {"a": 1, "b": 2})
    run.log_list("numbers", [1, 0.5])
    run.log_list("types", [1, "a", None, True])
    run.log_list("empty", [])

    assert kept(run) == {
        "tuple": [1, 2],
        "generator": [1, 2],
        "array": [1, 2],
        "text": ["a", "b"],
        "dict": ["a", "b"],
        "numbers": [1.0, 0.5],
        "types": [1, "a", None, True],
        "empty": [],
    }


def test_a_long_list_and_slices_of_one_name_join(run: Run) -> None:
    values = list(range(30_000))
    run.log_list("long", values)
    run.log_list("sliced", values[:10_000])
    run.log_list("sliced", values[10_000:])

    assert kept(run) == {"long": values, "sliced": values}


# 10.3


def test_the_second_parameter_of_a_row_is_its_description(run: Run) -> None:
    run.log_row("errors", "how wrong it is", x=1, y=0.5)
    run.log_row("errors", x=2, y=0.25)

    assert kept(run) == {"errors": {"x": [1, 2], "y": [0.5, 0.25]}}


def test_a_row_has_scalars(run: Run) -> None:
    with pytest.raises(AzureMLException, match="cannot contain list values: column 'x'"):
        run.log_row("row", x=[1])
    with pytest.raises(AzureMLException, match="not supported"):
        run.log_row("row", x={"a": 1})
    with pytest.raises(AzureMLException, match="different lengths"):
        run.log_table("table", {"x": [1], "y": [1, 2]})
    with pytest.raises(UserErrorException):
        run.log_table("table", {})
    assert kept(run) == {}


def test_a_table_has_columns_of_many_forms(run: Run) -> None:
    run.log_table("scalars", {"x": 1, "y": "a"})
    run.log_table("forms", {"list": [1, 2], "tuple": (0.5, 1.5), "array": np.array([True, False])})
    run.log_table("empty", {"x": [], "y": []})
    run.log_table("wide", {f"c{number}": [number, number] for number in range(15)})

    found = kept(run)

    assert found["scalars"] == {"x": 1, "y": "a"}
    assert found["forms"] == {"list": [1, 2], "tuple": [0.5, 1.5], "array": [True, False]}
    assert found["empty"] == {"x": [], "y": []}
    assert list(found["wide"]) == [f"c{number}" for number in range(15)]


def test_rows_may_bring_new_columns_in_order_of_first_appearance(run: Run) -> None:
    run.log_row("rows", b=1, a=2)
    run.log_row("rows", c="x", b=3)
    run.flush()
    run.log_row("rows", a=0.5)

    found = kept(run)["rows"]

    assert found == {"b": [1, 3, None], "a": [2.0, None, 0.5], "c": [None, "x", None]}
    assert list(found) == ["b", "a", "c"]


def test_a_table_of_many_rows_is_stored_whole(run: Run) -> None:
    columns = {"x": list(range(50_000)), "y": [number / 2 for number in range(50_000)], "t": ["text"] * 50_000}
    run.log_table("long", columns)

    assert kept(run) == {"long": columns}


# 10.4


def test_an_image_is_a_path_or_a_plot(run: Run, tmp_path: Path) -> None:
    (tmp_path / "no.txt").write_text("text")
    for wrong in ({}, {"path": "a.png", "plot": Plot()}):
        with pytest.raises(AzureMLException, match="Invalid parameters"):
            run.log_image("image", **wrong)  # type: ignore[arg-type]
    with pytest.raises(UserErrorException, match="cannot be read"):
        run.log_image("image", path="absent.png")
    with pytest.raises(UserErrorException, match="not recognised as an image"):
        run.log_image("image", path=str(tmp_path / "no.txt"))
    with pytest.raises(UserErrorException, match="savefig"):
        run.log_image("image", plot=object())


def test_the_artifact_of_a_file_has_its_path_as_given(run: Run) -> None:
    Path("plots").mkdir()
    Path("plots/a.png").write_bytes(PNG + b"a")
    run.log_image("image", path="plots/a.png")
    Path("plots/a.png").unlink()

    assert kept(run)["image"].endswith(f"/dcid.{run.id}/plots/a.png")
    assert run.get_file_names() == ["plots/a.png"]


def test_every_image_of_a_name_is_kept(run: Run) -> None:
    plot = Plot()
    for _ in range(5):
        run.log_image("curve", plot=plot)
    Path("a.png").write_bytes(PNG + b"a")
    run.log_image("file", path="a.png")
    Path("a.png").write_bytes(PNG + b"b")
    run.log_image("file", path="a.png")
    run.flush()

    curves, files = run.get_series("curve").values, run.get_series("file").values
    assert [len(set(paths)) for paths in (curves, files)] == [5, 2]
    assert all(path.startswith("curve_") and path.endswith(".png") for path in curves)
    assert sorted(run.get_file_names()) == sorted([*curves, *files])
    for number, path in enumerate(curves, start=1):
        run.download_file(path, "drawn.png")
        assert Path("drawn.png").read_bytes() == PNG + bytes([number])


def test_a_plot_that_cannot_be_drawn_is_a_rejection(run: Run) -> None:
    class Broken:
        def savefig(self, file: BinaryIO, format: str) -> None:  # noqa: A002
            raise RuntimeError("no such font")

    run.log_image("curve", plot=Broken())

    with pytest.raises(AzureMLException, match=r"PLOT_FAILED: .*no such font"):
        run.flush()


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


@pytest.fixture(autouse=True)
def _warnings_are_seen(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, logger="runstream")
