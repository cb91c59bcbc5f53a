"""Resource names are taken apart strictly and put together again unchanged."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.errors import InvalidField
from runstream_server.names import ComputeTargetName, ExperimentName, RunName, WorkspaceName, check_run_id

KINDS: list[Any] = [WorkspaceName, ExperimentName, RunName, ComputeTargetName]


@pytest.mark.parametrize(
    "name",
    [
        WorkspaceName("default"),
        ExperimentName("default", "0197a3b2-1111-7000-8000-000000000000"),
        RunName("default", "digits_1700000000_0a1b2c3d"),
        RunName("default", "été.1:a+b@c=d"),
        ComputeTargetName("default", "local"),
    ],
)
def test_a_name_survives_being_written_and_read(name: WorkspaceName | ExperimentName | RunName) -> None:
    assert type(name).parse(str(name)) == name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "workspaces",
        "workspaces/ab",
        "workspaces/" + "a" * 34,
        "workspaces/default/runs/",
        "workspaces/default/runs/..",
        "workspaces/default/runs/a/b",
        "workspaces/default/runs/" + "a" * 257,
        "workspaces/default/runs/a b",
        "workspaces/default/runs/a\x00b",
        "workspaces/default/runs/e\u0301",
        "workspaces/default/runs/a\u202eb",
        "/workspaces/default",
    ],
)
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_name_is_refused(kind: type[RunName], text: str) -> None:
    with pytest.raises(InvalidField) as caught:
        kind.parse(text, "run.parent")

    assert caught.value.violations[0].field == "run.parent"


@given(st.text(max_size=300))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    for kind in KINDS:
        try:
            assert str(kind.parse(text)) == text
        except InvalidField:
            continue


def test_run_ids_have_a_length_limit() -> None:
    assert check_run_id("a" * 256, "run_id") == "a" * 256
    with pytest.raises(InvalidField):
        check_run_id("a" * 257, "run_id")
