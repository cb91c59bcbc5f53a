"""Section 19.4: registered environments against the services."""

import uuid

import pytest

from runstream import aio
from runstream.core import Environment, Workspace
from runstream.core.conda_dependencies import CondaDependencies
from runstream.exceptions import ServiceException, UserErrorException


def make(name: str = "digits", *packages: str) -> Environment:
    environment = Environment(name)
    environment.python.conda_dependencies = CondaDependencies.create(pip_packages=packages or ["numpy"])
    environment.docker.base_image = "python:3.12"
    environment.environment_variables = {"A": "1"}
    return environment


def test_versions_count_and_an_unchanged_definition_has_its_version(ws: Workspace) -> None:
    first = make().register(ws)
    same = make().register(workspace=ws)
    again = first.register(ws)
    second = make("digits", "numpy", "pandas").register(ws)

    assert [each.version for each in (first, same, again, second)] == ["1", "1", "1", "2"]
    assert isinstance(first, Environment)


def test_a_registered_environment_is_read_as_it_was(ws: Workspace) -> None:
    registered = make().register(ws)
    make("digits", "pandas").register(ws)

    latest = Environment.get(ws, "digits")
    old = Environment.get(workspace=ws, name="digits", version="1")
    labelled = Environment.get(ws, "digits", label="Latest")

    assert (latest.name, latest.version, labelled.version) == ("digits", "2", "2")
    assert list(latest.python.conda_dependencies.pip_packages) == ["pandas"]
    assert old == registered
    assert old.environment_variables == {"A": "1"}
    assert (old.docker.base_image, old.python.conda_dependencies) == ("python:3.12", make().python.conda_dependencies)


def test_environments_of_a_workspace_are_listed_with_the_ready_made_ones(ws: Workspace) -> None:
    make("a").register(ws)
    make("b").register(ws)
    make("b", "pandas").register(ws)

    listed = ws.environments

    assert {name: each.version for name, each in listed.items() if not name.startswith("AzureML-")} == {
        "a": "1",
        "b": "2",
    }
    assert {"AzureML-Minimal", "AzureML-Scikit-learn", "AzureML-PyTorch"} <= set(listed)
    assert Environment.list(ws) == listed


def test_an_environment_that_is_not_there_is_told(ws: Workspace) -> None:
    make().register(ws)

    for name, version in [("none", None), ("digits", "7")]:
        with pytest.raises(ServiceException) as raised:
            Environment.get(ws, name, version)
        assert (raised.value.status_code, raised.value.reason) == (404, "ENVIRONMENT_NOT_FOUND")


@pytest.mark.parametrize("name", ["", "a/b", "-a"])
def test_a_name_that_cannot_be_is_refused(ws: Workspace, name: str) -> None:
    with pytest.raises(UserErrorException):
        make(name).register(ws)


def test_a_clone_is_registered_under_its_own_name(ws: Workspace) -> None:
    clone = make().register(ws).clone("letters").register(ws)

    assert (clone.name, clone.version) == ("letters", "1")


async def test_asynchronous_programs_have_the_same(surroundings: str) -> None:
    space = await aio.Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")

    registered = await aio.Environment("digits").register(space)
    read = await aio.Environment.get(space, "digits")

    assert type(registered) is type(read) is aio.Environment
    assert read == registered
    assert "digits" in await space.get_environments()
    assert "digits" in await aio.Environment.list(space)
    await aio.close()
