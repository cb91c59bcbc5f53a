"""Sections 19.1 to 19.3 and 9: from a script run configuration to the definition of a job, and to `runDefinition`."""

from pathlib import Path
from typing import Any

import pytest

from runstream.api.jobs.v1 import environment_pb2, job_pb2
from runstream.core import Environment, RunConfiguration, ScriptRunConfig
from runstream.core._job.definition import JobPlan, plan_job
from runstream.core._job.run_definition import read_run_definition, run_definition
from runstream.core.conda_dependencies import CondaDependencies
from runstream.core.runconfig import (
    DEFAULT_CPU_IMAGE,
    DockerConfiguration,
    MpiConfiguration,
    ParallelTaskConfiguration,
    PyTorchConfiguration,
    TensorflowConfiguration,
)
from runstream.exceptions import ExperimentExecutionException, RunConfigurationException

MPI, PYTORCH = job_pb2.DISTRIBUTION_KIND_MPI, job_pb2.DISTRIBUTION_KIND_PYTORCH
TENSORFLOW, PLAIN = job_pb2.DISTRIBUTION_KIND_TENSORFLOW, job_pb2.DISTRIBUTION_KIND_UNSPECIFIED


@pytest.fixture
def src(tmp_path: Path) -> ScriptRunConfig:
    """The simplest there is."""
    (tmp_path / "train.py").touch()
    return ScriptRunConfig(tmp_path, "train.py", ["--alpha", 0.5])


def plan(src: ScriptRunConfig, **kwargs: Any) -> JobPlan:
    return plan_job(ScriptRunConfig(src.source_directory, "train.py", **kwargs))


def test_the_simplest_script_needs_nothing_but_python(src: ScriptRunConfig) -> None:
    plan = plan_job(src)
    definition = plan.definition

    assert (plan.target, plan.source_directory, plan.max_run_duration_seconds) == (
        "local",
        src.source_directory,
        2592000,
    )
    assert (definition.script, definition.command, definition.snapshot) == ("train.py", "", "")
    assert not definition.HasField("distribution")
    assert not definition.environment.name
    assert not definition.environment.definition.HasField("image")
    assert definition.environment.definition.python.conda_specification == CondaDependencies().serialize_to_string()
    assert list(definition.watched_directories) == ["logs"]
    assert (definition.skip_outputs, definition.container.use_container) == (False, False)


@pytest.mark.parametrize(
    ("job", "framework", "communicator", "expected"),
    [
        (MpiConfiguration(6), "Python", "IntelMpi", job_pb2.Distribution(kind=MPI, node_count=1, process_count=6)),
        (
            PyTorchConfiguration(node_count=2),
            *("PyTorch", "Nccl"),
            job_pb2.Distribution(kind=PYTORCH, node_count=2, process_count=2, backend="nccl"),
        ),
        (
            PyTorchConfiguration("gloo", process_count=4),
            *("PyTorch", "Gloo"),
            job_pb2.Distribution(kind=PYTORCH, node_count=1, process_count=4, backend="gloo"),
        ),
        (
            TensorflowConfiguration(3, 2),
            *("TensorFlow", "ParameterServer"),
            job_pb2.Distribution(kind=TENSORFLOW, node_count=1, process_count=3, parameter_server_count=2),
        ),
        (
            ParallelTaskConfiguration(worker_count_per_node=2, node_count=2),
            *("Python", "ParallelTask"),
            job_pb2.Distribution(kind=PLAIN, node_count=2, process_count=4),
        ),
    ],
)
def test_a_distribution_sets_framework_communicator_and_numbers(
    src: ScriptRunConfig, job: Any, framework: str, communicator: str, expected: job_pb2.Distribution
) -> None:
    config = ScriptRunConfig(src.source_directory, "train.py", compute_target="cluster", distributed_job_config=job)

    assert (config.run_config.framework, config.run_config.communicator) == (framework, communicator)
    assert plan_job(config).definition.distribution == expected


@pytest.mark.parametrize("target", ["local", "cluster"])
def test_workers_of_tensorflow_are_counted_as_nodes_and_executed_on_one(src: ScriptRunConfig, target: str) -> None:
    job = TensorflowConfiguration(2, 1)
    config = ScriptRunConfig(src.source_directory, "train.py", compute_target=target, distributed_job_config=job)

    distribution = plan_job(config).definition.distribution

    assert config.run_config.node_count == 2
    assert (distribution.node_count, distribution.process_count) == (1, 2)


def test_several_nodes_without_a_framework_have_a_process_each(src: ScriptRunConfig) -> None:
    src.run_config.node_count = 3

    expected = job_pb2.Distribution(kind=PLAIN, node_count=3, process_count=3)
    assert plan_job(src).definition.distribution == expected


def test_an_unknown_backend_is_refused() -> None:
    with pytest.raises(RunConfigurationException, match="Nccl, Gloo"):
        PyTorchConfiguration("smoke")


@pytest.mark.parametrize(
    "job",
    [
        PyTorchConfiguration(process_count=3, node_count=2),
        PyTorchConfiguration(process_count=0),
        MpiConfiguration(0),
        MpiConfiguration(1, 0),
        MpiConfiguration(2, 2),
        TensorflowConfiguration(0),
        TensorflowConfiguration(1, -1),
        MpiConfiguration("two"),  # type: ignore[arg-type]
    ],
)
def test_numbers_that_cannot_be_are_refused(src: ScriptRunConfig, job: Any) -> None:
    with pytest.raises(RunConfigurationException):
        plan(src, distributed_job_config=job)


def test_options_of_the_container_are_those_of_the_docker_configuration(src: ScriptRunConfig) -> None:
    docker = DockerConfiguration(use_docker=True, arguments=["--cap-drop", "ALL"], shm_size="4g")

    definition = plan(src, docker_runtime_config=docker).definition

    expected = job_pb2.ContainerOptions(use_container=True, shm_size="4g", arguments=["--cap-drop", "ALL"])
    assert definition.container == expected
    assert definition.environment.definition.image.reference == DEFAULT_CPU_IMAGE
    assert src.run_config.environment.docker.base_image is None


def test_the_older_form_asks_for_a_container_as_well(src: ScriptRunConfig) -> None:
    src.run_config.environment.docker.enabled = True
    src.run_config.environment.docker.base_image = "python:3.13"
    src.run_config.environment.docker.shm_size = "1g"

    definition = plan_job(src).definition

    assert definition.container == job_pb2.ContainerOptions(use_container=True, shm_size="1g")
    assert definition.environment.definition.image.reference == "python:3.13"


def test_history_says_what_is_kept(src: ScriptRunConfig) -> None:
    src.run_config.history.output_collection = False
    src.run_config.history.snapshot_project = False
    src.run_config.history.directories_to_watch = ["logs", "checkpoints"]

    plan = plan_job(src)

    assert plan.definition.skip_outputs
    assert plan.source_directory is None
    assert list(plan.definition.watched_directories) == ["logs", "checkpoints"]


def test_what_a_run_needs_and_how_it_is_repeated(src: ScriptRunConfig) -> None:
    rc = src.run_config
    rc.requirements.slots, rc.requirements.gpus, rc.requirements.labels = 2, 1, {"disk": "fast"}
    rc.max_attempts, rc.termination_grace_seconds, rc.priority = 3, 5, 10

    definition = plan_job(src).definition

    assert definition.requirements == job_pb2.JobRequirements(slots=2, gpus=1, labels={"disk": "fast"})
    assert (definition.max_attempts, definition.termination_grace.seconds, definition.priority) == (3, 5, 10)


def test_variables_of_run_and_environment_are_texts(src: ScriptRunConfig) -> None:
    environment = Environment("mine")
    environment.environment_variables = {"A": 1, "B": None}
    src.run_config.environment = environment
    src.run_config.environment_variables["A"] = 2.5

    definition = plan_job(src).definition

    assert definition.environment.definition.environment_variables == {"A": "1", "B": ""}
    assert definition.environment_variables == {"A": "2.5"}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *(("max_run_duration_seconds", value) for value in (0, -1, 1.5, "1h", True)),
        *(("max_attempts", value) for value in (0, "twice", None)),
        *(("priority", value) for value in ("high", 0.5)),
        *(("node_count", value) for value in (0, "two")),
        ("termination_grace_seconds", -1),
        ("environment_variables", ["A=1"]),
        ("history.directories_to_watch", 5),
        ("requirements.gpus", -1),
        ("requirements.labels", "fast"),
    ],
)
def test_a_setting_that_cannot_be_is_told_by_its_name(src: ScriptRunConfig, name: str, value: Any) -> None:
    owner: Any = src.run_config
    *parents, attribute = name.split(".")
    for parent in parents:
        owner = getattr(owner, parent)
    setattr(owner, attribute, value)

    with pytest.raises(RunConfigurationException, match=attribute):
        plan_job(src)


def test_a_single_folder_to_watch_is_a_list_of_one(src: ScriptRunConfig) -> None:
    src.run_config.history.directories_to_watch = "checkpoints"  # type: ignore[assignment]

    assert list(plan_job(src).definition.watched_directories) == ["checkpoints"]


def test_details_that_are_too_long_are_left_out(src: ScriptRunConfig) -> None:
    src.run_config.environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["a" * 250_000])
    src.run_config.environment_variables = {"LONG": "x" * 50_000}

    definition = plan_job(src).definition

    assert definition.details_json == ""
    assert run_definition(job_pb2.Job(definition=definition))["script"] == "train.py"


def test_a_folder_that_is_not_there_is_told_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(ExperimentExecutionException, match=f"There is no source folder {tmp_path}/missing"):
        plan_job(ScriptRunConfig(tmp_path / "missing", command="ls"))


def test_packages_may_be_in_a_file_of_the_source_folder(src: ScriptRunConfig) -> None:
    conda = CondaDependencies.create(pip_packages=["numpy"])
    conda.save(Path(str(src.source_directory)) / "packages.yml")
    src.run_config.environment.python.conda_dependencies_file = "packages.yml"

    definition = plan_job(src).definition

    assert definition.environment.definition.python.conda_specification == conda.serialize_to_string()


def test_an_environment_with_image_and_dockerfile_is_refused(src: ScriptRunConfig) -> None:
    src.run_config.environment.docker.base_image = "python:3.12"
    src.run_config.environment.docker.base_dockerfile = "FROM python:3.12"

    with pytest.raises(RunConfigurationException, match="not both"):
        plan_job(src)


@pytest.mark.parametrize(
    ("name", "value"),
    [("data", {"a": 1}), ("data_references", {"a": 1}), ("output_data", {"a": 1}), ("identity", "me")],
)
def test_options_without_effect_are_warned_of(
    src: ScriptRunConfig, caplog: pytest.LogCaptureFixture, name: str, value: Any
) -> None:
    setattr(src.run_config, name, value)

    plan_job(src)

    assert name in caplog.text


def test_packages_of_the_retired_sdk_are_warned_of(src: ScriptRunConfig, caplog: pytest.LogCaptureFixture) -> None:
    src.run_config.environment.python.conda_dependencies.add_pip_package("azureml-defaults")

    plan_job(src)

    assert "azureml-defaults" in caplog.text


@pytest.mark.parametrize(
    "add",
    [
        lambda conda: conda.set_pip_option("--index-url https://me:secret@index.example.com/simple"),
        lambda conda: conda.add_pip_package("tiny @ https://secret@example.com/tiny.whl"),
        lambda conda: conda.add_channel("https://me:secret@example.com/channel"),
    ],
)
def test_credentials_in_an_environment_are_warned_of(
    src: ScriptRunConfig, caplog: pytest.LogCaptureFixture, add: Any
) -> None:
    add(src.run_config.environment.python.conda_dependencies)

    plan_job(src)

    assert "netrc" in caplog.text
    assert "secret" not in caplog.text


def test_a_plain_script_is_not_warned_of(src: ScriptRunConfig, caplog: pytest.LogCaptureFixture) -> None:
    plan_job(src)

    assert caplog.text == ""


def test_a_registered_environment_is_referred_to_as_long_as_it_is_unchanged(src: ScriptRunConfig) -> None:
    record = environment_pb2.Environment(name="workspaces/default/environments/mine/versions/3")
    record.definition.python.conda_specification = CondaDependencies().serialize_to_string()
    environment = src.run_config.environment = Environment._of(record)

    assert plan_job(src).definition.environment.name == record.name
    assert plan_job(src, "workspaces/default").definition.environment.name == record.name
    assert plan_job(src, "workspaces/default-too").definition.environment.name == ""
    environment.python.conda_dependencies.add_pip_package("numpy")
    changed = plan_job(src).definition.environment
    assert changed.name == ""
    assert "numpy" in changed.definition.python.conda_specification


def test_the_run_definition_mirrors_the_configuration(src: ScriptRunConfig) -> None:
    rc = src.run_config
    rc.environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy"])
    rc.pytorch.communication_backend = "Gloo"

    document = run_definition(job_pb2.Job(definition=plan_job(src).definition))

    assert (document["script"], document["command"], document["arguments"]) == ("train.py", None, ["--alpha", "0.5"])
    assert (document["target"], document["nodeCount"], document["maxRunDurationSeconds"]) == ("local", 1, 2592000)
    assert document["history"] == {
        "outputCollection": True,
        "snapshotProject": True,
        "directoriesToWatch": ["logs"],
    }
    python = document["environment"]["python"]
    assert python["condaDependencies"] == rc.environment.python.conda_dependencies.as_dict()
    assert (python["userManagedDependencies"], python["interpreterPath"]) == (False, "python")
    assert document["tensorflow"] == {"workerCount": 1, "parameterServerCount": 1}
    assert document["mpi"]["processCountPerNode"] == 1
    assert document["pyTorch"]["communicationBackend"] == "Gloo"
    assert document["docker"] == {"useDocker": False, "sharedVolumes": True, "shmSize": "2g", "arguments": []}


def test_a_configuration_survives_its_run_definition(src: ScriptRunConfig) -> None:
    rc = src.run_config
    rc.environment.python.conda_dependencies = None
    rc.history.directories_to_watch = ["checkpoints"]
    rc.script, rc.arguments = "train.py", ["--alpha", "0.5"]
    read = RunConfiguration()

    read_run_definition(read, run_definition(job_pb2.Job(definition=plan_job(src).definition)))

    assert read == rc


def test_a_job_that_another_client_submitted_has_a_run_definition_too(src: ScriptRunConfig) -> None:
    config = ScriptRunConfig(
        src.source_directory, "train.py", distributed_job_config=PyTorchConfiguration("Gloo", process_count=4)
    )
    definition = plan_job(config).definition
    expected = run_definition(job_pb2.Job(definition=definition))
    definition.details_json, definition.snapshot = "", "workspaces/default/snapshots/1"

    document = run_definition(
        job_pb2.Job(definition=definition, compute_target="workspaces/default/computeTargets/local")
    )

    for name in ("script", "arguments", "framework", "communicator", "target", "nodeCount", "pyTorch", "history"):
        assert document[name] == expected[name], name
    assert document["environment"]["python"] == expected["environment"]["python"]


def test_a_password_of_a_registry_is_never_written(
    src: ScriptRunConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    registry = src.run_config.environment.docker.base_image_registry
    registry.address, registry.username, registry.password = "images.example.org", "me", "secret"

    src.run_config.environment.docker.base_image = "python:3.12"
    src.run_config.save(tmp_path, "local")
    definition = plan_job(src).definition

    assert "secret" not in (tmp_path / ".azureml" / "local").read_text()
    assert "secret" not in definition.details_json
    assert definition.environment.definition.image.reference == "images.example.org/python:3.12"
    assert "password" in caplog.text
