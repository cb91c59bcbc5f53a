"""How conda specifications are read."""

from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from runstream._runner.environments.specification import Specification, read_specification
from runstream._runner.failures import JobFailed


def read(*dependencies: object, folder: Path = Path(), **others: object) -> Specification:
    return read_specification(yaml.safe_dump({"dependencies": list(dependencies), **others}), folder)


@pytest.mark.parametrize(
    ("written", "version"),
    [
        ("python", ""),
        ("python=3.11", "3.11"),
        ("python==3.11.4", "3.11.4"),
        ("python 3.11", "3.11"),
        ("python=3.11.*", "3.11"),
        ("python=3.11.4=h12345_0", "3.11.4"),
        ("conda-forge::python=3.12", "3.12"),
        ("python>=3.9, <3.12", ">=3.9,<3.12"),
    ],
)
def test_the_wanted_python_is_read(written: str, version: str) -> None:
    assert read(written) == Specification(python=version)


def test_packages_of_conda_and_pip_are_told_apart() -> None:
    found = read("python=3.11", "pip=24", "python-dateutil", {"pip": ["numpy<3", "runstream==0.1.0"]}, channels=["c"])

    assert found == Specification("3.11", ("numpy<3",), ("python-dateutil",), ("c",))


def test_requirements_files_are_read_in_place(tmp_path: Path) -> None:
    (tmp_path / "more.txt").write_text("torch  # the framework\n-r deep/other.txt\n\n")
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "other.txt").write_text("six\\\n==1.0\n")

    assert read({"pip": ["-r more.txt"]}, folder=tmp_path).pip == ("torch", "six ==1.0")


@pytest.mark.parametrize("line", ["-e .", "./package", ".", "file:///wheel.whl", "-c limits.txt", "-r missing.txt"])
def test_what_only_this_run_has_is_refused(line: str, tmp_path: Path) -> None:
    with pytest.raises(JobFailed):
        read({"pip": [line]}, folder=tmp_path)


def test_a_file_that_includes_itself_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("-r a.txt\n")

    with pytest.raises(JobFailed, match="includes itself"):
        read({"pip": ["-r a.txt"]}, folder=tmp_path)


@pytest.mark.parametrize("text", ["- a", "dependencies: 5", "{", "7", "dependencies: {a: 1}"])
def test_what_is_no_specification_is_refused(text: str) -> None:
    with pytest.raises(JobFailed):
        read_specification(text, Path())


@given(st.text())
def test_any_text_is_read_or_refused(text: str) -> None:
    with suppress(JobFailed):
        read_specification(text, Path("/nowhere"))


def test_no_text_asks_for_nothing() -> None:
    assert read_specification("", Path()).is_empty
