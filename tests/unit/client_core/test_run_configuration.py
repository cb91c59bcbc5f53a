"""Section 19.2: run configurations."""

import inspect
from typing import Any

import pytest

from runstream.core import Environment, RunConfiguration
from runstream.core.conda_dependencies import CondaDependencies
from runstream.core.runconfig import DockerConfiguration, HistoryConfiguration
from runstream.exceptions import RunConfigurationException


def test_parameters_have_the_names_and_order_of_sdk_v1() -> None:
    assert list(inspect.signature(RunConfiguration).parameters) == [
        *("script", "arguments", "framework", "communicator", "conda_dependencies", "_history_enabled", "_path"),
        *("_name", "command"),
    ]
    assert list(inspect.signature(RunConfiguration.save).parameters)[1:] == [
        "path",
        "name",
        "separate_environment_yaml",
    ]
    assert list(inspect.signature(RunConfiguration.load).parameters) == ["path", "name"]
    assert list(inspect.signature(RunConfiguration.delete).parameters) == ["path", "name"]


def test_attributes_have_the_defaults_of_sdk_v1() -> None:
    rc = RunConfiguration()

    assert (rc.script, rc.command, rc.arguments) == (None, None, [])
    assert (rc.target, rc.framework, rc.communicator, rc.node_count) == ("local", "Python", "None", 1)
    assert (rc.max_run_duration_seconds, rc.priority, rc.environment.name) == (None, None, "default-environment")
    assert rc.history == HistoryConfiguration(True, True, ["logs"])
    assert rc.docker == DockerConfiguration(use_docker=False, shared_volumes=True, arguments=[], shm_size="2g")
    assert (rc.data, rc.data_references, rc.output_data, rc.environment_variables) == ({}, {}, {}, {})


def test_two_configurations_share_nothing() -> None:
    one, other = RunConfiguration(), RunConfiguration()

    one.arguments.append("--a")
    one.history.directories_to_watch.append("checkpoints")
    one.environment.environment_variables["A"] = "1"

    assert other == RunConfiguration()


@pytest.mark.parametrize(
    "path",
    ["targe", "environment.pyton", "environment.python.conda_dependency", "environment.docker.enable", "history.x"],
)
def test_to_assign_an_attribute_that_does_not_exist_is_an_error(path: str) -> None:
    owner: Any = RunConfiguration()
    *parents, name = path.split(".")
    for parent in parents:
        owner = getattr(owner, parent)

    with pytest.raises(AttributeError, match=name):
        setattr(owner, name, "gpu-pool")


def test_an_attribute_that_is_spelled_alike_is_told() -> None:
    rc: Any = RunConfiguration()

    with pytest.raises(AttributeError, match="Do you mean 'target'"):
        rc.targt = "gpu-pool"


def test_older_forms_are_accepted() -> None:
    rc = RunConfiguration()
    conda = CondaDependencies.create(pip_packages=["numpy"])

    rc.environment.docker.enabled = True
    rc.environment.docker.base_image = "python:3.12"
    rc.environment.python.user_managed_dependencies = True
    rc.environment.python.interpreter_path = "/opt/python"
    rc.environment.python.conda_dependencies = conda
    rc.auto_prepare_environment = True

    assert rc.environment.python.conda_dependencies is conda


def test_a_target_is_a_name_or_something_with_a_name() -> None:
    class Target:
        name = "pool"

    rc = RunConfiguration()
    rc.target = Target()
    assert rc.target == "pool"
    rc.target = None
    assert rc.target == "local"
    with pytest.raises(RunConfigurationException):
        rc.target = 5


def test_variables_are_those_of_the_default_environment_as_well() -> None:
    rc = RunConfiguration()

    rc.environment.environment_variables["A"] = "1"
    assert rc.environment_variables == {"A": "1"}
    rc.environment_variables = {"B": "2"}
    assert rc.environment.environment_variables == {"B": "2"}


def test_variables_of_a_run_do_not_change_an_environment_that_was_given() -> None:
    rc, environment = RunConfiguration(), Environment("mine")
    rc.environment_variables["A"] = "1"

    rc.environment = environment
    rc.environment_variables["B"] = "2"

    assert environment.environment_variables == {}
    assert rc.environment_variables == {"A": "1", "B": "2"}


@pytest.mark.parametrize(
    ("attribute", "value"), [("framework", "Perl"), ("communicator", "Mail"), ("environment", "x")]
)
def test_a_value_that_is_not_allowed_is_refused(attribute: str, value: str) -> None:
    with pytest.raises(RunConfigurationException):
        setattr(RunConfiguration(), attribute, value)


@pytest.mark.parametrize(("word", "meant"), [("nccl", "Nccl"), ("INTELMPI", "IntelMpi"), (None, "None")])
def test_words_are_taken_in_any_case(word: str | None, meant: str) -> None:
    assert RunConfiguration(communicator=word).communicator == meant
