"""Tables fit the terminal, never cut what is to be copied, and print nothing that a terminal would obey."""

import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from runstream._cli.output import View
from runstream._cli.run_document import run_document
from runstream._cli.run_tables import run_card, runs_table
from runstream._cli.tables import of_any_shape
from runstream.api.runs.v1.run_pb2 import RUN_STATUS_CANCEL_REQUESTED, RUN_STATUS_FAILED, Run, RunError
from runstream.api.runs.v1.workspace_pb2 import Tag

UUID = "0197a3b2-1111-7000-8000-000000000000"


def drawn(view: View, value: Any, width: int) -> list[str]:
    screen = Console(file=io.StringIO(), width=width, color_system=None, highlight=False)
    screen.print(view(value, width))
    assert isinstance(screen.file, io.StringIO)
    return [line.rstrip() for line in screen.file.getvalue().splitlines()]


def a_run(**attributes: Any) -> dict[str, Any]:
    given_name = attributes.pop("id", UUID)
    return run_document(Run(name=f"workspaces/default/runs/{given_name}", **attributes))


@given(
    runs=st.lists(
        st.builds(
            a_run,
            id=st.from_regex(r"[A-Za-z0-9_]{1,60}", fullmatch=True),
            display_name=st.text(max_size=60),
            experiment_display_name=st.text(max_size=30),
            tags=st.lists(st.builds(Tag, key=st.text(min_size=1, max_size=20)), max_size=3),
        ),
        min_size=1,
        max_size=4,
    ),
    width=st.integers(80, 160),
)
def test_a_listing_of_runs_fits_the_terminal_and_has_every_id_in_one_piece(
    runs: list[dict[str, Any]], width: int
) -> None:
    lines = drawn(runs_table(with_experiment=True), runs, width)

    assert all(cell_len(line) <= width for line in lines)
    for run in runs:
        assert any(line.split()[:1] == [run["run_id"]] for line in lines)


def test_at_80_columns_a_listing_keeps_id_status_and_start_and_cuts_the_name() -> None:
    run = a_run(display_name="a name that is much longer than fits there", status=RUN_STATUS_CANCEL_REQUESTED)

    header, line = drawn(runs_table(with_experiment=False), [run], 80)

    assert header.split() == ["Run", "Name", "Status"]
    assert line.startswith(UUID)
    assert line.endswith("CancelRequested")
    assert "…" in line


def test_columns_that_no_run_fills_are_left_out() -> None:
    header, _ = drawn(runs_table(with_experiment=True), [a_run(experiment_display_name="digits")], 120)

    assert header.split() == ["Run", "Experiment", "Status"]


def test_an_id_that_is_wider_than_the_terminal_is_continued_and_not_cut() -> None:
    long_id = "r" * 200

    lines = drawn(runs_table(with_experiment=False), [a_run(id=long_id)], 80)

    assert "".join(lines).count("r") >= 200


def test_the_card_of_a_failed_run_shows_its_error_with_the_stack_trace() -> None:
    run = a_run(
        status=RUN_STATUS_FAILED,
        tags=[Tag(key="mark"), Tag(key="quality", value="good")],
        error=RunError(code="UserError", message="no data", exception_type="E", stack_trace="File x\n  line 1"),
    )

    text = "\n".join(drawn(run_card(), run, 80))

    for part in ("UserError: no data", "File x", "line 1", "mark", "quality=good"):
        assert part in text


def test_control_characters_are_shown_and_not_obeyed() -> None:
    text = "\n".join(drawn(of_any_shape, [{"name": "\x1b[31mred\x07"}], 80))

    assert "\x1b" not in text
    assert "\\x1b[31mred\\x07" in text


def test_markup_in_names_is_shown_as_it_is() -> None:
    assert "[bold]x[/bold]" in "\n".join(drawn(of_any_shape, {"name": "[bold]x[/bold]"}, 80))


def test_objects_with_too_many_keys_for_a_table_are_shown_one_after_the_other() -> None:
    wide = {f"key_{number:02}": "a value of some length" for number in range(30)}

    lines = drawn(of_any_shape, [wide, wide], 80)

    assert all(cell_len(line) <= 80 for line in lines)
    assert sum("a value of some length" in line for line in lines) == 60


@pytest.mark.parametrize("value", [None, [], {}, 1, True, "text", [1, "a"], [[1]], {"a": None}, [{"a": 1}, {"b": 2}]])
def test_a_result_of_any_shape_can_be_drawn(value: Any) -> None:
    drawn(of_any_shape, value, 80)
