"""Section 20: `Tensorboard` and `export_to_tensorboard`."""

import logging
import sys
from pathlib import Path
from typing import Any

import pytest

from runstream.core import Experiment, Run
from runstream.core.run import _OfflineRun
from runstream.exceptions import UserErrorException
from runstream.tensorboard import Tensorboard, export_to_tensorboard
from runstream.tensorboard._events import first_record, scalar_records
from runstream.tensorboard._exported import EVENTS_NAME
from tests.board_pages import ask, curve
from tests.conditions import wait_until
from tests.event_files import scalars_of


def points(root: str, run: Run) -> dict[str, list[tuple[int, float]]]:
    """What was exported of a run, by tag."""
    found: dict[str, list[tuple[int, float]]] = {}
    for scalar in scalars_of(Path(root, run.id, EVENTS_NAME)):
        found.setdefault(scalar.tag, []).append((scalar.step, scalar.value))
    return found


def test_runs_are_seen_in_tensorboard_while_they_go_on(exp: Experiment, run: Run) -> None:
    run.log_list("loss", [0.5, 0.25])
    export_to_tensorboard(run, "boards")
    with exp.start_logging(snapshot_directory=None, display_name="nets: a/b") as live:
        events = Path("logs/train/events.out.tfevents.1")
        events.parent.mkdir(parents=True)
        events.write_bytes(first_record(0) + scalar_records("loss", [1], [0], [2.0]))
        board = Tensorboard(live, "boards", port=0, use_display_name=True)
        url = board.start()
        shown = "nets_ a_b/train"
        wait_until(lambda: curve(url, shown, "loss") == [(1, 2.0)])
        again = board.start()
        with events.open("ab") as file:
            file.write(scalar_records("loss", [2], [0], [1.0]))
        wait_until(lambda: curve(url, shown, "loss") == [(1, 2.0), (2, 1.0)])
    runs = ask(url, "runs")
    tags = ask(url, "plugin/scalars/tags")
    exported = curve(url, run.id, "loss")
    process = board._program.process if board._program else None
    board.stop()
    board.stop()

    assert again == url
    assert set(runs) == {run.id, shown}
    assert {name: list(of_run) for name, of_run in tags.items()} == {run.id: ["loss"], shown: ["loss"]}
    assert exported == [(0, 0.5), (1, 0.25)]
    assert process is not None
    assert process.returncode is not None
    assert ask(url, "runs") is None
    assert Path("boards", shown, "events.out.tfevents.1").exists()


def test_numbers_are_exported_with_their_steps_and_times_and_the_rest_is_left_out(run: Run) -> None:
    run.log("loss", 0.5, step=10)
    run.log("loss", 2, step=300)
    run.log("loss", True, step=5)
    run.log("note", "text")
    run.log("nothing", None)
    run.log_row("error", x=1, y=0.25, who="me")
    run.log_residuals("chart", {"schema_type": "residuals", "schema_version": "1.0.0", "data": {
        "bin_edges": [0.0, 1.0], "bin_counts": [1]}})  # fmt: skip

    export_to_tensorboard(run, "exported")

    assert points("exported", run) == {
        "loss": [(10, 0.5), (300, 2.0), (5, 1.0)],
        "error/x": [(0, 1.0)],
        "error/y": [(0, 0.25)],
    }
    times = [scalar.seconds for scalar in scalars_of(Path("exported", run.id, EVENTS_NAME)) if scalar.tag == "loss"]
    assert [round(seconds * 1e6) for seconds in times] == [
        time.astype("int64") for time in run.get_series("loss").times
    ]


def test_a_second_export_adds_what_came_since(run: Run, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "mine")
    mine = logging.getLogger("mine")
    run.log_list("loss", [3, 2])
    export_to_tensorboard(run, "exported", mine)
    run.log("loss", 1)
    run.log("late", 7)
    run.complete()
    for _ in range(2):
        export_to_tensorboard(run, "exported", logger=mine)

    assert points("exported", run) == {"loss": [(0, 3.0), (1, 2.0), (2, 1.0)], "late": [(0, 7.0)]}
    told = [record.getMessage() for record in caplog.records if record.name == "mine"]
    assert [message.split()[2] for message in told] == ["2", "2", "0"]


def test_runs_below_are_exported_unless_said_otherwise(run: Run) -> None:
    child = run.child_run()
    grandchild = child.child_run()
    for number, each in enumerate((run, child, grandchild)):
        each.log("depth", number)

    export_to_tensorboard([run, child], "all")
    export_to_tensorboard([child], "one", recursive=False)

    assert [points("all", each) for each in (run, child, grandchild)] == [{"depth": [(0, n)]} for n in (0.0, 1.0, 2.0)]
    assert [folder.name for folder in Path("one").iterdir()] == [child.id]


@pytest.mark.parametrize(
    ("given", "message"),
    [([], "needs a run"), ("run", "got str"), ([None], "got NoneType"), (_OfflineRun(), "got _OfflineRun")],
)
def test_what_is_no_run_is_not_exported(given: Any, message: str) -> None:
    with pytest.raises(UserErrorException, match=message):
        export_to_tensorboard(given, "exported")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(([],), "needs runs, or a local_root"), ((["run"],), "got str"), (([], "folder", 70_000), "a number from 0 to")],
)
def test_what_cannot_be_shown_is_refused(arguments: tuple[Any, ...], message: str) -> None:
    with pytest.raises(UserErrorException, match=message):
        Tensorboard(*arguments)


def test_without_the_program_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)

    with pytest.raises(UserErrorException, match="pip install tensorboard"):
        Tensorboard([], "folder").start()
