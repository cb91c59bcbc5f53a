"""Section 19.4: environments, without services."""

import inspect
from pathlib import Path
from typing import Any

import pytest

from runstream import aio
from runstream.api.jobs.v1 import environment_pb2
from runstream.core import Environment
from runstream.core._job.environments import encode_environment
from runstream.core._job.ready_made import all_ready_made, is_reserved, ready_made
from runstream.core.conda_dependencies import CondaDependencies
from runstream.core.environment import ContainerRegistry
from runstream.exceptions import ServiceException, UserErrorException

PARAMETERS = {
    "get": ["workspace", "name", "version", "label"],
    "list": ["workspace"],
    "register": ["workspace"],
    "clone": ["new_name"],
    "build": ["workspace"],
    "save_to_directory": ["path", "overwrite"],
    "load_from_directory": ["path"],
    "from_conda_specification": ["name", "file_path"],
    "from_pip_requirements": ["name", "file_path", "pip_version"],
    "from_existing_conda_environment": ["name", "conda_environment_name"],
    "from_docker_image": ["name", "image", "container_registry", "conda_specification", "pip_requirements"],
    "from_dockerfile": ["name", "dockerfile", "conda_specification", "pip_requirements"],
}


@pytest.mark.parametrize("method", PARAMETERS)
def test_methods_have_the_parameters_of_sdk_v1(method: str) -> None:
    parameters = list(inspect.signature(getattr(Environment, method)).parameters)

    assert [name for name in parameters if name not in ("self", "cls")] == PARAMETERS[method]


def test_a_fresh_environment_has_nothing_but_python() -> None:
    environment = Environment("digits")

    assert (environment.name, environment.version, environment.environment_variables) == ("digits", None, {})
    assert (environment.python.user_managed_dependencies, environment.python.interpreter_path) == (False, "python")
    assert environment.docker.base_image is None


def test_a_user_managed_python_is_used_as_it_is() -> None:
    environment = Environment("mine")
    environment.python.user_managed_dependencies = True
    environment.python.interpreter_path = "/opt/python"

    expected = environment_pb2.PythonDefinition(user_managed=True, interpreter_path="/opt/python")
    assert encode_environment(environment).python == expected


def test_an_environment_is_made_of_a_conda_specification(tmp_path: Path) -> None:
    conda = CondaDependencies.create(conda_packages=["openblas"], pip_packages=["numpy"])

    environment = Environment.from_conda_specification("digits", conda.save(tmp_path / "env.yml"))

    assert environment.python.conda_dependencies == conda
    assert encode_environment(environment).python.conda_specification == conda.serialize_to_string()


def test_an_environment_is_made_of_requirements(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy>=2\n")

    environment = Environment.from_pip_requirements("digits", tmp_path / "requirements.txt", pip_version="25.0")

    conda = environment.python.conda_dependencies
    assert conda is not None
    assert list(conda.pip_packages) == ["numpy>=2"]
    assert "pip=25.0" in list(conda.conda_packages)


def test_an_environment_of_conda_is_used_by_its_name() -> None:
    environment = Environment.from_existing_conda_environment("digits", "base")

    assert encode_environment(environment).python == environment_pb2.PythonDefinition(base_conda_environment="base")


def test_an_image_brings_its_own_python_unless_packages_are_given(tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("numpy\n")

    plain = Environment.from_docker_image(
        "a", "python:3.12", container_registry=ContainerRegistry("images.example.org")
    )
    with_packages = Environment.from_docker_image("b", "python:3.12", pip_requirements=tmp_path / "requirements.txt")

    assert encode_environment(plain).image.reference == "images.example.org/python:3.12"
    assert plain.python.user_managed_dependencies
    assert not with_packages.python.user_managed_dependencies
    assert with_packages.python.conda_dependencies is not None


def test_only_one_list_of_packages_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UserErrorException, match="not both"):
        Environment.from_docker_image("a", "python:3.12", conda_specification="a.yml", pip_requirements="b.txt")


def test_a_dockerfile_is_given_by_its_path_or_as_text(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("# ours\nFROM python:3.12\n")

    by_path = Environment.from_dockerfile("a", tmp_path / "Dockerfile")
    as_text = Environment.from_dockerfile("a", "FROM python:3.12")

    assert encode_environment(by_path).image.dockerfile == "# ours\nFROM python:3.12\n"
    assert encode_environment(as_text).image.dockerfile == "FROM python:3.12"
    with pytest.raises(UserErrorException, match="none"):
        Environment.from_dockerfile("a", tmp_path / "none")


def test_a_clone_shares_nothing() -> None:
    environment = Environment("one")
    environment.version = "3"

    clone = environment.clone("two")
    clone.environment_variables["A"] = "1"

    assert (clone.name, clone.version, environment.name, environment.environment_variables) == ("two", None, "one", {})
    assert isinstance(clone, Environment)


@pytest.mark.parametrize("conda", [CondaDependencies.create(pip_packages=["numpy"]), None])
def test_an_environment_survives_its_folder(tmp_path: Path, conda: CondaDependencies | None) -> None:
    environment = Environment("digits")
    environment.version, environment.environment_variables = "2", {"A": "1"}
    environment.python.conda_dependencies = conda
    environment.docker.base_dockerfile = "FROM python:3.12\n"

    environment.save_to_directory(tmp_path / "env")

    files = {file.name for file in (tmp_path / "env").iterdir()}
    assert files >= {"azureml_environment.json", "BaseDockerfile"}
    assert ("conda_dependencies.yml" in files) == (conda is not None)
    assert Environment.load_from_directory(str(tmp_path / "env")) == environment


def test_a_folder_with_an_environment_is_overwritten_only_when_asked(tmp_path: Path) -> None:
    Environment("one").save_to_directory(tmp_path)

    with pytest.raises(UserErrorException, match="overwrite"):
        Environment("two").save_to_directory(tmp_path)
    Environment("two").save_to_directory(tmp_path, overwrite=True)

    assert Environment.load_from_directory(tmp_path).name == "two"


@pytest.mark.parametrize("text", [None, "[]", "{"])
def test_a_folder_without_an_environment_is_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "azureml_environment.json").write_text(text)

    with pytest.raises(UserErrorException, match=r"azureml_environment\.json"):
        Environment.load_from_directory(tmp_path)


def test_names_of_ready_made_environments_are_reserved() -> None:
    workspace: Any = None

    for name in ("AzureML-mine", "azureml", "Microsoft.mine", "MICROSOFT"):
        assert is_reserved(name)
        with pytest.raises(UserErrorException, match="reserved"):
            Environment(name).register(workspace)


def test_ready_made_environments_are_there_without_services() -> None:
    workspace: Any = None

    sklearn = Environment.get(workspace, "AzureML-Scikit-learn")
    minimal = Environment.get(workspace, "azureml-minimal", version="1")

    assert sklearn.version == "1"
    assert "scikit-learn" in list(sklearn.python.conda_dependencies.pip_packages)
    assert minimal.python.user_managed_dependencies
    assert len(all_ready_made()) == 5


@pytest.mark.parametrize(("name", "version"), [("AzureML-None", None), ("AzureML-Minimal", "2")])
def test_a_ready_made_environment_that_there_is_not_is_told_with_those_that_are(name: str, version: str | None) -> None:
    with pytest.raises(ServiceException, match="AzureML-Minimal, AzureML-PyTorch") as raised:
        ready_made(name, version)

    assert (raised.value.status_code, raised.value.reason) == (404, "ENVIRONMENT_NOT_FOUND")


@pytest.mark.parametrize(("version", "label"), [("1", "Latest"), (None, "production")])
def test_the_only_label_is_that_of_the_latest_version(version: str | None, label: str) -> None:
    workspace: Any = None

    with pytest.raises(UserErrorException, match="Latest"):
        Environment.get(workspace, "digits", version, label)


def test_there_is_nothing_to_build(capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture) -> None:
    workspace: Any = None

    Environment("digits").build(workspace).wait_for_completion(show_output=True)

    assert "prepared where a run is executed" in caplog.text
    assert "prepared where a run is executed" in capsys.readouterr().out


def test_both_forms_make_the_same_definition() -> None:
    assert encode_environment(aio.Environment("digits")) == encode_environment(Environment("digits"))


def test_options_that_there_are_not_are_warned_of(caplog: pytest.LogCaptureFixture) -> None:
    Environment("digits", conda_dependencys=CondaDependencies())

    assert "conda_dependencys" in caplog.text
