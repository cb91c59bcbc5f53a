"""Environments that are made for runs."""

import os
import re
from pathlib import Path

import pytest
import yaml

from runstream._runner.environments.cache import environments_root
from runstream._runner.environments.sdk import sdk_identity, sdk_requirements
from tests.runners import Jobs, S
from tests.wheels import make_wheels

BUILD_LOG = "azureml-logs/20_image_build_log.txt"
TOOLS = Path(__file__).parents[3] / ".tools" / "bin"
SCRIPT = "import sys, tiny, runstream\nprint(tiny.VERSION, sys.prefix != sys.base_prefix, runstream.__file__)\n"


@pytest.fixture
def index(tmp_path: Path) -> Path:
    """Stands for a package index: what the SDK needs, and `tiny`."""
    needed = [re.split(r"[<>=!~;\s\[]", each)[0] for each in sdk_requirements()]
    make_wheels(tmp_path / "index", needed)
    return make_wheels(tmp_path / "index", ["tiny"], "1.5")


def environment(index: Path, *packages: str) -> dict[str, object]:
    """An environment as a job has it."""
    pip = ["--no-index", f"--find-links {index}", *packages]
    text = yaml.safe_dump({"dependencies": ["python", "pip", {"pip": pip}]})
    return {"definition": {"python": {"conda_specification": text}}}


def variables() -> dict[str, str]:
    """Variables by which uv is found."""
    return {"PATH": f"{TOOLS}{os.pathsep}{os.environ['PATH']}"}


async def test_a_run_finds_the_packages_of_its_environment_and_the_sdk(jobs: Jobs, index: Path) -> None:
    definition = {"environment": environment(index, "tiny==1.5"), "environment_variables": variables()}

    first = await jobs.execute(SCRIPT, **definition)
    second = await jobs.execute(SCRIPT, **definition)

    printed = await jobs.log(first.name)
    assert printed.startswith("1.5 True /")
    assert await jobs.log(second.name) == printed
    said = (await jobs.log(first.name, BUILD_LOG)).splitlines()[0]
    assert re.fullmatch(
        rf"Making an environment for this run and later ones: python .*tiny==1\.5; in {environments_root()}/\w+", said
    )
    assert BUILD_LOG not in await jobs.logs(second.name)


async def test_an_environment_knows_what_the_sdk_needs_and_offers_in_those_that_are_made_from_it(
    jobs: Jobs, index: Path
) -> None:
    script = (
        "from importlib.metadata import entry_points\n"
        "from runstream._runner.environments.sdk import *\n"
        "print(sdk_identity(), sdk_requirements())\n"
        "print(entry_points(group='mlflow.request_auth_provider')['runstream'].load()().get_name())\n"
    )

    run = await jobs.execute(script, environment=environment(index, "tiny==1.5"), environment_variables=variables())

    assert await jobs.log(run.name) == f"{sdk_identity()} {sdk_requirements()}\nrunstream\n"


async def test_an_environment_that_cannot_be_made_fails_the_run(jobs: Jobs, index: Path) -> None:
    run = await jobs.execute(SCRIPT, environment=environment(index, "tiny==2.0"), environment_variables=variables())

    assert (run.status, run.error.code) == (S.RUN_STATUS_FAILED, "EnvironmentError")
    assert "log of the build" in run.error.message
    assert "tiny==2.0" in await jobs.log(run.name, BUILD_LOG)
