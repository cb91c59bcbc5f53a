"""What is started for a job, and what it lacks."""

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from runstream._runner.environments.building import Tools, make_environment
from runstream._runner.environments.specification import Specification
from runstream._runner.failures import JobFailed
from runstream._runner.script import command_of, find_python, own_python
from runstream.api.jobs.v1.job_pb2 import JobDefinition


class Quiet:
    """A console of programs that fail."""

    async def run(self, command: Sequence[str]) -> int:
        return 1

    def say(self, text: str) -> None:
        pass

    def write(self, name: str, text: str) -> Path:
        return Path(name)


def test_the_usual_interpreter_is_the_one_of_the_runner() -> None:
    assert find_python("python", {}).executable == sys.executable


def test_an_interpreter_is_found_by_path_and_by_its_place(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.symlink_to(sys.executable)

    assert find_python("other", {"PATH": str(tmp_path)}).executable == str(other)
    assert find_python(str(other), {}).executable == str(other)
    with pytest.raises(JobFailed, match="/no/python"):
        find_python("/no/python", {})


def test_programs_of_the_environment_are_found_first() -> None:
    assert own_python().extend({"PATH": "/bin"})["PATH"] == f"{Path(sys.executable).parent}:/bin"


def test_a_script_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="There is no file"):
        command_of(JobDefinition(script="missing.py"), own_python(), tmp_path)


async def test_conda_packages_need_a_conda(tmp_path: Path) -> None:
    with pytest.raises(JobFailed, match="micromamba"):
        await make_environment(tmp_path, Specification(conda=("cudatoolkit=11",)), Tools("", "", ""), Quiet())


@pytest.mark.parametrize("uv", ["", "/bin/uv"])
async def test_a_python_that_cannot_be_had_is_told(tmp_path: Path, uv: str) -> None:
    with pytest.raises(JobFailed, match=r"No Python 2\.7"):
        await make_environment(tmp_path, Specification(python="2.7", pip=("six",)), Tools("", uv, ""), Quiet())
