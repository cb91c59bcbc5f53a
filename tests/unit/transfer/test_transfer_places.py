"""Nothing that is downloaded is written outside of its folder."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream._transfer.places import PROBE, Below, check_distinct, problem_of
from runstream.exceptions import UserErrorException

HOSTILE = st.sampled_from(["..", ".", "", "/", "\\", "C:", "a", "link", "inner", "\0", "\n", "é", "\ud800", "~", "-"])
HOSTILE_PATHS = st.lists(HOSTILE, max_size=6).map("/".join) | st.text(max_size=30)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a link out of it, and one that stays within."""
    folder = tmp_path / "folder"
    (folder / "inner").mkdir(parents=True)
    (folder / "link").symlink_to(tmp_path)
    (folder / "inner" / "near").symlink_to("..")
    return folder


@given(HOSTILE_PATHS)
def test_a_place_is_always_within_the_folder(folder: Path, path: str) -> None:
    try:
        target = Below(folder).place(path)
    except UserErrorException:
        return
    real = Path(os.path.realpath(target.parent))
    assert real == folder or folder in real.parents
    assert target.name not in ("", ".", "..")


@pytest.mark.parametrize(
    "path",
    [
        *("", "/etc/passwd", "../a", "a/../../b", "a/..", ".", "./a", "a//b", "a/"),
        *("C:/a", "c:a", "a\\b", "..\\a", "a\0b", "a\nb", "a\x7f", "a\x85", "a\ud800"),
    ],
)
def test_names_that_lead_elsewhere_are_refused(folder: Path, path: str) -> None:
    assert problem_of(path)
    with pytest.raises(UserErrorException, match="cannot be written below a folder"):
        Below(folder).place(path)


@pytest.mark.parametrize("path", ["a", "a/b", "...", "..a", "a..", "-rf", "ab:c", "数据/é", "~", ".hidden", "a b"])
def test_other_names_are_places(folder: Path, path: str) -> None:
    assert Below(folder).place(path) == folder / path


def test_a_link_out_of_the_folder_is_no_way(folder: Path) -> None:
    with pytest.raises(UserErrorException, match=r"leads out of .* by the link"):
        Below(folder).place("link/file")


def test_a_link_to_nowhere_outside_is_no_way(folder: Path) -> None:
    (folder / "later").symlink_to(folder.parent / "not-yet")
    with pytest.raises(UserErrorException, match="leads out of"):
        Below(folder).place("later/a/b")


def test_a_link_within_the_folder_is_a_way(folder: Path) -> None:
    assert Below(folder).place("inner/near/file") == folder / "inner" / "near" / "file"


def test_a_folder_that_is_not_there_yet_has_places(tmp_path: Path) -> None:
    assert Below(tmp_path / "new" / "folder").place("a/b") == tmp_path / "new" / "folder" / "a" / "b"


def test_a_folder_may_itself_be_a_link(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "alias").symlink_to(folder)
    assert Below(tmp_path / "alias").place("inner/a") == tmp_path / "alias" / "inner" / "a"


def test_two_files_cannot_have_one_place(folder: Path) -> None:
    with pytest.raises(UserErrorException, match="are one place"):
        check_distinct(folder, [folder / "a", folder / "b", folder / "a"])


def test_names_that_differ_by_case_have_places_of_their_own_where_the_file_system_says_so(folder: Path) -> None:
    check_distinct(folder, [folder / "A", folder / "a", folder / "é", folder / "e\u0301"])
    assert sorted(path.name for path in folder.iterdir()) == ["inner", "link"]


def test_names_that_the_file_system_takes_for_the_same_are_refused(folder: Path) -> None:
    (folder / f"{PROBE}-{os.getpid()}".upper()).touch()  # as if the probe itself were found by this name
    with pytest.raises(UserErrorException, match="are one place on this file system"):
        check_distinct(folder, [folder / "A", folder / "a"])
