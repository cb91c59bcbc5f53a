"""Folders that are watched, by the parts of their paths."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.errors import InvalidField
from runstream_server.jobs.convert.folders import watched_folders
from runstream_server.jobs.limits import Checks


def watched(*folders: str) -> list[str]:
    checks = Checks()
    found = watched_folders(checks, "folders", folders)
    checks.done()
    return found


@pytest.mark.parametrize("folder", ["logs", "./logs", "logs/", "logs/.", ".//logs//"])
def test_a_folder_has_one_plain_form(folder: str) -> None:
    assert watched(folder) == ["logs"]


def test_a_folder_is_not_inside_of_one_whose_name_begins_alike() -> None:
    assert watched("out", "outputs", "out/put", "outer/out") == ["out", "outputs", "outer/out"]


def test_a_folder_inside_of_another_one_is_watched_once() -> None:
    assert watched("logs/tb", "logs", "logs/tb/a", "other", "./logs") == ["logs", "other"]


@pytest.mark.parametrize(
    "folder", ["/", "/logs", "//logs", "..", "../logs", "logs/../..", "logs/..", ".", "./", "a\0b"]
)
def test_folders_outside_of_the_working_directory_are_refused(folder: str) -> None:
    with pytest.raises(InvalidField):
        watched(folder)


@given(st.lists(st.lists(st.sampled_from(["a", "ab", "b"]), min_size=1, max_size=3).map("/".join), max_size=6))
def test_every_folder_is_inside_of_exactly_one_that_is_watched(folders: list[str]) -> None:
    found = watched(*folders)

    for folder in folders:
        assert sum(f"{folder}/".startswith(f"{each}/") for each in found) == 1
