"""The local folders of runs."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream.tensorboard._folders import run_folder, safe_name


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("d257e6f1-8d48", "d257e6f1-8d48"),
        ("nets: α/β", "nets_ α_β"),
        ("../../etc", "_.._etc"),
        ("..", "_"),
        (" .hidden. ", "hidden"),
        ("CON.txt", "_CON.txt"),
        ("", "_"),
        ("line\nfeed\0", "line_feed_"),
    ],
)
def test_any_display_name_becomes_the_name_of_a_folder(wanted: str, name: str) -> None:
    assert safe_name(wanted) == name


@given(st.text())
def test_no_name_leads_elsewhere_or_is_too_long(text: str) -> None:
    name = safe_name(text)

    assert Path(name).parts == (name,)
    assert name not in (".", "..")
    assert len(name.encode()) <= 201


def test_runs_of_one_display_name_have_folders_of_their_own_and_keep_them(tmp_path: Path) -> None:
    first = [run_folder(tmp_path, "net", f"workspaces/space/runs/{run}") for run in "ab"]
    again = [run_folder(tmp_path, "net", f"workspaces/space/runs/{run}") for run in "ba"]

    assert [folder.name for folder in first] == ["net", "net (2)"]
    assert again == first[::-1]
