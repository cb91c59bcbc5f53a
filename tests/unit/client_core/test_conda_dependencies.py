"""Section 19.4: conda specifications."""

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from runstream.core import VERSION
from runstream.core.conda_dependencies import PYTHON_DEFAULT_VERSION, CondaDependencies
from runstream.exceptions import UserErrorException

NAMES = st.from_regex(r"[a-z][a-z0-9]{0,8}", fullmatch=True).filter(lambda name: name not in ("python", "pip"))


def test_a_specification_is_written_as_conda_reads_it() -> None:
    conda = CondaDependencies.create(
        pip_indexurl="https://example.org/simple",
        pip_packages=["scikit-learn==1.7.2", "pandas"],
        conda_packages=["openblas"],
        python_version="3.12.4",
    )
    conda.add_channel("conda-forge")

    assert conda.serialize_to_string() == (
        "name: project_environment\n"
        "channels:\n"
        "- conda-forge\n"
        "dependencies:\n"
        "- python=3.12.4\n"
        "- openblas\n"
        "- pip\n"
        "- pip:\n"
        "  - --index-url https://example.org/simple\n"
        "  - scikit-learn==1.7.2\n"
        "  - pandas\n"
    )


def test_without_packages_there_is_the_python_of_this_process() -> None:
    assert CondaDependencies.create() == CondaDependencies()
    assert list(CondaDependencies().conda_packages) == [f"python={PYTHON_DEFAULT_VERSION}"]
    assert CondaDependencies().python_version == PYTHON_DEFAULT_VERSION


def test_a_package_takes_the_place_of_one_of_the_same_name() -> None:
    conda = CondaDependencies.create(pip_packages=["Scikit_Learn[alldeps]>=1"], conda_packages=["conda-forge::numpy=1"])

    conda.add_pip_package("scikit-learn==1.7.2")
    conda.add_conda_package("numpy=2")
    conda.set_python_version("3.13")

    assert list(conda.pip_packages) == ["scikit-learn==1.7.2"]
    assert list(conda.conda_packages) == ["python=3.13", "numpy=2", "pip"]


def test_packages_that_are_addresses_do_not_replace_each_other() -> None:
    addresses = ["git+https://example.org/a.git", "git+https://example.org/b.git", "./wheels/c.whl"]

    assert list(CondaDependencies.create(pip_packages=addresses).pip_packages) == addresses


def test_what_was_added_can_be_removed() -> None:
    conda = CondaDependencies.create(pip_packages=["pandas>=2"], conda_packages=["numpy"])
    conda.add_channel("conda-forge")

    conda.remove_pip_package("pandas")
    conda.remove_conda_package("numpy")
    conda.remove_channel("conda-forge")

    assert (list(conda.pip_packages), list(conda.conda_channels)) == ([], [])
    assert "numpy" not in list(conda.conda_packages)


def test_an_option_of_pip_takes_the_place_of_the_same_one() -> None:
    conda = CondaDependencies.create(pip_indexurl="https://one.example.org")

    conda.set_pip_option("--extra-index-url https://more.example.org")
    conda.set_pip_option("--index-url https://two.example.org")

    assert sorted(conda.pip_options) == [
        "--extra-index-url https://more.example.org",
        "--index-url https://two.example.org",
    ]


def test_the_sdk_is_pinned_to_the_version_of_this_process() -> None:
    pinned = CondaDependencies.create(pip_packages=["runstream"])
    free = CondaDependencies.create(pip_packages=["runstream"], pin_sdk_version=False)

    assert list(pinned.pip_packages) == [f"runstream~={VERSION}"]
    assert list(free.pip_packages) == ["runstream"]


def test_a_file_of_conda_is_read_with_all_it_says(tmp_path: Path) -> None:
    file = tmp_path / "environment.yml"
    file.write_text("name: x\nprefix: /opt/x\ndependencies:\n- python=3.10\n- pip:\n  - -r more.txt\n  - numpy\n")

    conda = CondaDependencies(file)
    saved = CondaDependencies(conda.save(tmp_path / "copy.yml"))

    assert saved == conda
    assert saved.as_dict()["prefix"] == "/opt/x"
    assert list(saved.pip_options) == ["-r more.txt"]


def test_requirements_of_pip_are_taken_without_comments(tmp_path: Path) -> None:
    file = tmp_path / "requirements.txt"
    file.write_text("# ours\nnumpy>=2  # newer\n\n--extra-index-url https://example.org/#egg\npandas \\\n  ==2.2\n")
    conda = CondaDependencies()

    conda.set_pip_requirements(file)

    assert list(conda.pip_packages) == ["numpy>=2", "pandas    ==2.2"]
    assert list(conda.pip_options) == ["--extra-index-url https://example.org/#egg"]


@pytest.mark.parametrize(
    "text", ["- a\n- b\n", "dependencies: numpy\n", "dependencies:\n- pip: numpy\n", "a: [", "x: \0"]
)
def test_what_is_no_specification_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "environment.yml"
    file.write_text(text)

    with pytest.raises(UserErrorException, match=r"environment\.yml"):
        CondaDependencies(file)


@pytest.mark.parametrize("option", ["pip_packages", "conda_packages"])
def test_a_text_is_no_list_of_packages(option: str) -> None:
    with pytest.raises(UserErrorException, match=rf"{option} must be a list: \['numpy'\]"):
        CondaDependencies.create(**{option: "numpy"})  # type: ignore[arg-type]


@settings(max_examples=50)
@given(st.lists(NAMES, unique=True), st.lists(NAMES, unique=True), st.lists(NAMES, unique=True))
def test_a_specification_survives_its_text(pip: list[str], conda: list[str], channels: list[str]) -> None:
    made = CondaDependencies.create(pip_packages=pip, conda_packages=conda)
    for channel in channels:
        made.add_channel(channel)

    read = CondaDependencies(_underlying_structure=yaml.safe_load(made.serialize_to_string()))

    assert read == made
    assert list(read.pip_packages) == pip
    assert [each for each in read.conda_packages if not each.startswith(("python", "pip"))] == [
        each for each in conda if not each.startswith(("python", "pip"))
    ]
    assert list(read.conda_channels) == channels
