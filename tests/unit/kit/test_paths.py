"""Paths of files: refused, never repaired."""

from pathlib import PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runstream_server.errors import InvalidField
from runstream_server.paths import check_path


@pytest.mark.parametrize(
    "path", ["a", "outputs/model.joblib", "a b/ü.txt", "...", "a/.hidden", "-", "C:/x", "a\\b", "x" * 1_024, "日" * 341]
)
def test_a_safe_path_is_kept_as_it_is(path: str) -> None:
    assert check_path(path, "path") == path


@pytest.mark.parametrize(
    "path",
    [
        "",
        "/",
        "/a",
        "a/",
        "a//b",
        ".",
        "..",
        "a/../b",
        "a/.",
        "./a",
        "a\0",
        "a\nb",
        "\x7f",
        "a\x85",
        "x" * 1_025,
        "日" * 342,
    ],
)
def test_any_other_path_is_refused_with_its_field(path: str) -> None:
    with pytest.raises(InvalidField) as error:
        check_path(path, "open.path")

    assert error.value.violations[0].field == "open.path"


@given(st.text(max_size=30))
def test_a_path_that_is_taken_stays_below_its_folder(path: str) -> None:
    try:
        check_path(path, "path")
    except InvalidField:
        return
    assert not PurePosixPath(path).is_absolute()
    assert ".." not in PurePosixPath(path).parts
