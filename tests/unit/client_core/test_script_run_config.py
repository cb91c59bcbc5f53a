"""Section 19.1: what is submitted, as users write it."""

import logging
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from runstream.api.jobs.v1.job_pb2 import Job
from runstream.core import Environment, RunConfiguration, ScriptRunConfig
from runstream.core._job.definition import JobPlan, plan_job
from runstream.core._job.run_definition import run_definition
from runstream.core.runconfig import DockerConfiguration, MpiConfiguration
from runstream.core.script_run_config import get_run_config_from_script_run
from runstream.exceptions import (
    AzureMLException,
    ExperimentExecutionException,
    RunConfigurationException,
    UserErrorException,
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A source folder with two scripts."""
    (tmp_path / "steps").mkdir()
    (tmp_path / "train.py").touch()
    (tmp_path / "steps" / "prepare.py").touch()
    return tmp_path


def plan(folder: Path, script: str | None = "train.py", *args: Any, **kwargs: Any) -> JobPlan:
    return plan_job(ScriptRunConfig(str(folder), script, *args, **kwargs))


def test_parameters_have_the_names_order_and_defaults_of_sdk_v1() -> None:
    import inspect

    parameters = inspect.signature(ScriptRunConfig).parameters

    assert list(parameters) == [
        *("source_directory", "script", "arguments", "run_config", "_telemetry_values", "compute_target"),
        *("environment", "distributed_job_config", "resume_from", "max_run_duration_seconds", "command"),
        "docker_runtime_config",
    ]
    assert parameters["source_directory"].default is inspect.Parameter.empty
    assert parameters["max_run_duration_seconds"].default == 2592000
    others = set(parameters) - {"source_directory", "max_run_duration_seconds"}
    assert {parameters[name].default for name in others} == {None}


def test_there_is_always_a_run_configuration(folder: Path) -> None:
    src = ScriptRunConfig(folder, "train.py")

    assert isinstance(src.run_config, RunConfiguration)
    assert (src.source_directory, src.script, src.command, src.arguments) == (folder, "train.py", None, [])
    assert src.run_config.target == "local"
    assert src.run_config.environment.name == "default-environment"
    assert src.run_config.max_run_duration_seconds == 2592000
    assert not hasattr(src, "max_run_duration_seconds")


def test_what_is_set_after_construction_takes_effect(folder: Path) -> None:
    src = ScriptRunConfig(folder, "train.py", compute_target="one", environment=Environment("one"))

    src.run_config.target = "two"
    src.run_config.environment = Environment("two")
    src.run_config.environment_variables = {"A": 1}
    src.run_config.max_run_duration_seconds = 60
    src.arguments = ["--late"]
    src.script = "steps/prepare.py"
    plan = plan_job(src)

    assert (plan.target, plan.max_run_duration_seconds) == ("two", 60)
    assert plan.definition.environment.definition.display_name == "two"
    assert plan.definition.environment_variables == {"A": "1"}
    assert (plan.definition.script, list(plan.definition.arguments)) == ("steps/prepare.py", ["--late"])


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("environment", "run_config.environment"),
        ("compute_target", "run_config.target"),
        ("max_run_duration_seconds", "run_config.max_run_duration_seconds"),
        ("docker_runtime_config", "run_config.docker"),
        ("argumets", "ScriptRunConfig"),
    ],
)
def test_what_would_have_no_effect_cannot_be_assigned(folder: Path, name: str, place: str) -> None:
    src = ScriptRunConfig(folder, "train.py")

    with pytest.raises(AttributeError, match=place):
        setattr(src, name, "x")


def test_a_copy_shares_nothing_and_a_class_of_its_own_may_have_more(folder: Path) -> None:
    class Ours(ScriptRunConfig):
        """Says what it is for."""

    src = Ours(folder, "train.py")
    src.purpose = "trial"  # type: ignore[attr-defined]
    copy = deepcopy(src)
    copy.run_config.target = "pool"

    assert (src.run_config.target, copy.purpose) == ("local", "trial")  # type: ignore[attr-defined]


def test_with_a_run_configuration_other_options_are_ignored_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rc = RunConfiguration()
    rc.target = "pool"
    ignored: dict[str, Any] = {
        "compute_target": "other",
        "environment": Environment("other"),
        "distributed_job_config": MpiConfiguration(2),
        "max_run_duration_seconds": 5,
        "docker_runtime_config": DockerConfiguration(use_docker=True),
    }

    src = ScriptRunConfig(folder, "train.py", run_config=rc, **ignored)

    assert src.run_config is rc
    assert (rc.target, rc.environment.name, rc.communicator) == ("pool", "default-environment", "None")
    assert (rc.max_run_duration_seconds, rc.docker.use_docker) == (None, False)
    assert all(name in caplog.text for name in ignored)


def test_without_such_options_nothing_is_warned_of(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    plan(folder, run_config=RunConfiguration())

    assert caplog.text == ""


def test_script_arguments_and_command_given_here_win_over_the_run_configuration(folder: Path) -> None:
    rc = RunConfiguration(script="steps/prepare.py", arguments=["--old"])

    here = plan(folder, arguments=["--new"], run_config=rc).definition
    there = plan(folder, None, run_config=rc).definition
    command = plan(folder, None, command="echo hi", run_config=rc).definition

    assert (here.script, list(here.arguments)) == ("train.py", ["--new"])
    assert (there.script, list(there.arguments)) == ("steps/prepare.py", ["--old"])
    assert (command.script, command.command) == ("", "echo hi")
    assert rc.script == "steps/prepare.py"


@pytest.mark.parametrize(
    ("command", "line"),
    [("python -c 'print(1)' && ls", "python -c 'print(1)' && ls"), (["echo", 1, "$HOME"], "echo 1 $HOME")],
)
def test_a_command_is_a_text_or_a_list_that_is_joined(folder: Path, command: Any, line: str) -> None:
    assert plan(folder, None, command=command).definition.command == line


def test_script_and_command_exclude_each_other(folder: Path) -> None:
    with pytest.raises(UserErrorException, match="not both"):
        ScriptRunConfig(folder, "train.py", command="ls")

    src = ScriptRunConfig(folder, "train.py")
    src.command = "ls"
    with pytest.raises(UserErrorException, match="not both"):
        plan_job(src)


def test_there_must_be_something_to_execute(folder: Path) -> None:
    with pytest.raises(ExperimentExecutionException, match="nothing to execute"):
        plan(folder, None)


@pytest.mark.parametrize("script", ["none.py", "steps", "../outside.py", "steps/../../outside.py"])
def test_a_script_must_be_in_the_source_folder(folder: Path, script: str) -> None:
    (folder.parent / "outside.py").touch()

    with pytest.raises(ExperimentExecutionException, match=str(script)):
        plan(folder, script)


@pytest.mark.parametrize("script", ["steps/prepare.py", "./steps/prepare.py", "steps/../steps/prepare.py", None])
def test_a_script_is_told_by_its_path_in_the_source_folder(folder: Path, script: str | None) -> None:
    assert plan(folder, script or str(folder / "steps" / "prepare.py")).definition.script == "steps/prepare.py"


def test_each_argument_becomes_one_text(folder: Path) -> None:
    arguments = ["--alpha", 0.5, "--layers", 2, "--name", "two words", True, Path("a/b")]

    assert list(plan(folder, arguments=arguments).definition.arguments) == [
        *("--alpha", "0.5", "--layers", "2", "--name", "two words", "True", "a/b")
    ]
    assert list(plan(folder, arguments=None).definition.arguments) == []


def test_a_text_of_arguments_is_split_as_a_shell_would_with_a_warning(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    definition = plan(folder, arguments="--alpha 0.5 --name 'two words'").definition

    assert list(definition.arguments) == ["--alpha", "0.5", "--name", "two words"]
    assert "split" in caplog.text
    assert caplog.records[0].levelno == logging.WARNING


@pytest.mark.parametrize("arguments", ["--name 'open", {"a": 1}, 5, b"--a"])
def test_what_is_no_list_of_arguments_is_refused(folder: Path, arguments: Any) -> None:
    with pytest.raises(UserErrorException, match="rguments"):
        plan(folder, arguments=arguments)


def test_resuming_from_anything_is_refused() -> None:
    with pytest.raises(UserErrorException, match="DataPath"):
        ScriptRunConfig(".", "train.py", resume_from="outputs/checkpoint")


def test_a_distribution_of_another_type_is_refused() -> None:
    other: Any = DockerConfiguration()

    with pytest.raises(RunConfigurationException, match="DockerConfiguration"):
        ScriptRunConfig(".", "train.py", distributed_job_config=other)


def test_a_compute_target_may_be_an_object_with_a_name(folder: Path) -> None:
    class Target:
        name = "pool"

    target: Any = Target()

    assert plan(folder, compute_target=target).target == "pool"
    assert plan(folder, compute_target=None).target == "local"


def test_the_configuration_of_a_submitted_run_is_made_again(folder: Path) -> None:
    class Run:
        """A run that tells of itself."""

        id = "digits_1"

        def __init__(self, **details: Any) -> None:
            self._details = details

        def get_details(self) -> dict[str, Any]:
            return self._details

    src = ScriptRunConfig(folder, "train.py", ["--alpha", 0.5], compute_target="pool")
    submitted: Any = Run(runDefinition=run_definition(Job(definition=plan_job(src).definition)))
    interactive: Any = Run()

    rc = get_run_config_from_script_run(submitted)

    assert isinstance(rc, RunConfiguration)
    assert (rc.script, rc.arguments, rc.target) == ("train.py", ["--alpha", "0.5"], "pool")
    with pytest.raises(UserErrorException, match="not submitted"):
        get_run_config_from_script_run(interactive)


def test_all_these_errors_are_of_the_sdk() -> None:
    assert issubclass(ExperimentExecutionException, AzureMLException)
    assert issubclass(RunConfigurationException, AzureMLException)
