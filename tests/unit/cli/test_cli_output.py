"""The formats of results."""

import json
import sys
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runstream._cli.output import Output

TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)

ROWS = [
    {"run_id": "a", "tags": {"mark": None, "näme": "tab\there"}, "description": "two\nlines \\ and a\ttab"},
    {"run_id": "b", "tags": {}, "description": None},
]


def shown(capsys: pytest.CaptureFixture[str], how: str, result: Any, query: str | None = None) -> str:
    Output(how, query).show(result)
    sys.stdout.flush()
    return capsys.readouterr().out


def test_json_keeps_every_result_whole(capsys: pytest.CaptureFixture[str]) -> None:
    @given(TREES)
    def check(tree: Any) -> None:
        assert json.loads(shown(capsys, "json", tree)) == tree

    check()


def test_yaml_keeps_a_result_whole(capsys: pytest.CaptureFixture[str]) -> None:
    assert yaml.safe_load(shown(capsys, "yaml", ROWS)) == ROWS


def test_coloured_json_without_a_terminal_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, "jsonc", ROWS)) == ROWS


def test_tab_separated_values_have_a_line_per_row_whatever_they_contain(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "tsv", ROWS).split("\n") == [
        'a\t{"mark": null, "näme": "tab\\\\there"}\ttwo\\nlines \\\\ and a\\ttab',
        "b\t{}\t",
        "",
    ]


@pytest.mark.parametrize(("result", "text"), [("done", "done\n"), (["a", "b"], "a\nb\n"), ([[1, None]], "1\t\n")])
def test_tab_separated_values_of_other_shapes(capsys: pytest.CaptureFixture[str], result: Any, text: str) -> None:
    assert shown(capsys, "tsv", result) == text


def test_none_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert shown(capsys, "none", ROWS) == ""


def test_what_a_query_selects_is_shown_in_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    assert json.loads(shown(capsys, "json", ROWS, "[].run_id")) == ["a", "b"]
    assert shown(capsys, "tsv", ROWS, "[].run_id") == "a\nb\n"
    assert shown(capsys, "table", ROWS, "[0].run_id") == "a\n"


def test_objects_that_a_query_selects_are_a_table(capsys: pytest.CaptureFixture[str]) -> None:
    lines = shown(capsys, "table", ROWS, "[].{id: run_id, mark: tags}").splitlines()

    assert lines[0].split() == ["id", "mark"]
    assert lines[1].split(maxsplit=1)[0] == "a"
    assert lines[2].split() == ["b", "{}"]


def test_without_a_terminal_results_are_json(capsys: pytest.CaptureFixture[str]) -> None:
    Output(None, None).show({"a": 1})

    assert json.loads(capsys.readouterr().out) == {"a": 1}


@pytest.mark.parametrize("how", ["json", "tsv", "yaml"])
def test_a_series_of_results_can_be_told_apart(capsys: pytest.CaptureFixture[str], how: str) -> None:
    output = Output(how, None)
    for row in ROWS:
        output.show_line(row)

    text = capsys.readouterr().out

    match how:
        case "json":
            assert [json.loads(line) for line in text.splitlines()] == ROWS
        case "yaml":
            assert list(yaml.safe_load_all(text)) == ROWS
        case "tsv":
            assert len(text.splitlines()) == 2
