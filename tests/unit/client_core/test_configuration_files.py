"""Section 19.2: files of run configurations, those of SDK v1 included."""

import string
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runstream.core import RunConfiguration
from runstream.core.conda_dependencies import CondaDependencies
from runstream.core.runconfig import DockerConfiguration, HistoryConfiguration, MpiConfiguration, PyTorchConfiguration
from runstream.exceptions import RunConfigurationException

RUN_DEFINITION_KEYS = {
    *("script", "command", "useAbsolutePath", "arguments", "framework", "communicator", "target", "dataReferences"),
    *("data", "outputData", "jobName", "maxRunDurationSeconds", "nodeCount", "priority", "environment", "history"),
    *("tensorflow", "mpi", "pyTorch", "docker", "environmentVariables"),
}


def test_a_configuration_is_saved_with_its_packages_beside(tmp_path: Path) -> None:
    conda = CondaDependencies.create(pip_packages=["numpy"])
    rc = RunConfiguration("train.py", ["--alpha", 0.5], conda_dependencies=conda)

    rc.save(tmp_path, "gpu")

    assert sorted(file.name for file in (tmp_path / ".azureml").iterdir()) == ["conda_dependencies.yml", "gpu"]
    document = yaml.safe_load((tmp_path / ".azureml" / "gpu").read_text())
    assert set(document) >= RUN_DEFINITION_KEYS
    assert set(document["environment"]) >= {"name", "version", "python", "environmentVariables", "docker", "spark"}
    assert document["environment"]["python"]["condaDependenciesFile"] == ".azureml/conda_dependencies.yml"
    assert CondaDependencies(tmp_path / ".azureml" / "conda_dependencies.yml") == conda
    assert RunConfiguration.load(tmp_path, "gpu") == rc


def test_what_yaml_has_no_word_for_is_saved_as_its_text(tmp_path: Path) -> None:
    RunConfiguration("train.py", ["--data", Path("a/b")]).save(tmp_path, "local")

    assert RunConfiguration.load(tmp_path, "local").arguments == ["--data", "a/b"]


def test_what_was_edited_in_the_files_is_read(tmp_path: Path) -> None:
    RunConfiguration("train.py").save(tmp_path, "local")
    file, packages = tmp_path / ".azureml" / "local", tmp_path / ".azureml" / "conda_dependencies.yml"
    file.write_text(file.read_text().replace("target: local", "target: pool"))
    packages.write_text("dependencies:\n- python=3.12\n- pip:\n  - numpy\n")

    rc = RunConfiguration.load(str(tmp_path), "local")

    assert rc.target == "pool"
    assert list(rc.environment.python.conda_dependencies.pip_packages) == ["numpy"]


def test_a_loaded_configuration_is_saved_where_it_was(tmp_path: Path) -> None:
    RunConfiguration("train.py").save(tmp_path, "local")
    rc = RunConfiguration.load(tmp_path, "local")

    rc.target = "pool"
    rc.save()

    assert RunConfiguration.load(tmp_path, "local").target == "pool"


def test_configurations_with_other_packages_do_not_change_each_other(tmp_path: Path) -> None:
    one, other = RunConfiguration(), RunConfiguration()
    other.environment.python.conda_dependencies = CondaDependencies.create(pip_packages=["numpy"])

    one.save(tmp_path, "one")
    other.save(tmp_path, "other")
    other.save(tmp_path, "other")
    one.save(tmp_path, "apart", separate_environment_yaml=True)
    other.save(tmp_path, "apart-too", separate_environment_yaml=True)

    for name, saved in {"one": one, "other": other, "apart": one, "apart-too": other}.items():
        assert RunConfiguration.load(tmp_path, name) == saved


def test_the_environment_may_have_a_file_of_its_own(tmp_path: Path) -> None:
    rc = RunConfiguration()
    rc.environment.docker.base_image = "python:3.12"

    rc.save(tmp_path, "gpu", separate_environment_yaml=True)

    assert (
        yaml.safe_load((tmp_path / ".azureml" / "environment.yml").read_text())["docker"]["baseImage"] == "python:3.12"
    )
    assert RunConfiguration.load(tmp_path, "gpu") == rc


def test_a_configuration_is_looked_for_in_order(tmp_path: Path) -> None:
    places = [
        ".azureml/gpu",
        ".azureml/gpu.runconfig",
        ".runstream/gpu",
        "aml_config/gpu.runconfig",
        "gpu",
        "gpu.runconfig",
    ]
    for place in places:
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(f"script: {place}\n")

    for place in places:
        assert RunConfiguration.load(tmp_path, "gpu").script == place
        RunConfiguration.delete(tmp_path, "gpu")
    with pytest.raises(RunConfigurationException, match="gpu"):
        RunConfiguration.load(tmp_path, "gpu")


def test_a_configuration_that_is_not_there_is_told_with_those_that_are(tmp_path: Path) -> None:
    RunConfiguration().save(tmp_path, "local")

    with pytest.raises(RunConfigurationException, match="There are: local"):
        RunConfiguration.load(tmp_path, "lokal")
    with pytest.raises(RunConfigurationException):
        RunConfiguration.delete(tmp_path, "lokal")


@pytest.mark.parametrize("name", [None, "", "../x", "a/b", "a\\b"])
def test_a_configuration_has_a_name_of_a_file(tmp_path: Path, name: str | None) -> None:
    with pytest.raises(RunConfigurationException):
        RunConfiguration().save(tmp_path, name)


V1_FILE = r"""
# The script to run.
script: train.py
# The arguments to the script file.
arguments:
- --alpha
- 0.5
target: cpu-cluster
framework: PyTorch
communicator: nccl
autoPrepareEnvironment: true
maxRunDurationSeconds:
nodeCount: 2
environment:
  name: project
  version:
  python:
    userManagedDependencies: false
    interpreterPath: python
    condaDependenciesFile: .azureml\packages.yml
    baseCondaEnvironment:
  environmentVariables:
    EXAMPLE_ENV_VAR: EXAMPLE_VALUE
  docker:
    enabled: true
    baseImage: python:3.12
    sharedVolumes: true
    gpuSupport: false
    arguments: []
    baseImageRegistry:
      address:
      username:
      password:
  spark:
    repositories:
    - https://example.org/maven
    packages:
    - group: com.example
      artifact: spark
      version: '0.12'
    precachePackages: true
  databricks:
    mavenLibraries: []
history:
  outputCollection: true
  snapshotProject: false
  directoriesToWatch:
  - logs
  - checkpoints
spark:
  configuration:
    spark.app.name: Experiment
hdi:
  yarnDeployMode: cluster
tensorflow:
  workerCount: 1
  parameterServerCount: 1
mpi:
  processCountPerNode: 4
pytorch:
  communicationBackend: nccl
  processCount: 8
containerInstance:
  region:
  cpuCores: 2
dataReferences: {}
sourceDirectoryDataStore:
amlcompute:
  vmSize:
  retainCluster: false
"""


@pytest.fixture
def v1_project(tmp_path: Path) -> Path:
    """A project folder as SDK v1 left it."""
    (tmp_path / ".azureml").mkdir()
    (tmp_path / ".azureml" / "cpu-cluster.runconfig").write_text(V1_FILE)
    (tmp_path / ".azureml" / "packages.yml").write_text(
        "dependencies:\n- python=3.8.13\n- pip:\n  - azureml-defaults\n"
    )
    return tmp_path


def test_a_file_of_sdk_v1_is_read(v1_project: Path, caplog: pytest.LogCaptureFixture) -> None:
    rc = RunConfiguration.load(v1_project, "cpu-cluster")

    assert (rc.script, rc.arguments, rc.target, rc.node_count) == ("train.py", ["--alpha", 0.5], "cpu-cluster", 2)
    assert (rc.framework, rc.communicator, rc.max_run_duration_seconds) == ("PyTorch", "Nccl", None)
    assert rc.pytorch == PyTorchConfiguration("Nccl", 8)
    assert rc.mpi == MpiConfiguration(4)
    assert rc.environment.environment_variables == {"EXAMPLE_ENV_VAR": "EXAMPLE_VALUE"}
    assert rc.environment_variables is rc.environment.environment_variables
    assert (rc.environment.docker.enabled, rc.environment.docker.base_image) == (True, "python:3.12")
    assert list(rc.environment.python.conda_dependencies.pip_packages) == ["azureml-defaults"]
    assert rc.history == HistoryConfiguration(True, False, ["logs", "checkpoints"])
    assert "containerInstance" in caplog.text


def test_what_is_not_known_of_a_file_is_kept(v1_project: Path) -> None:
    rc = RunConfiguration.load(v1_project, "cpu-cluster")

    rc.save(v1_project, "copy")

    document = yaml.safe_load((v1_project / ".azureml" / "copy").read_text())
    assert document["containerInstance"] == {"region": None, "cpuCores": 2}
    assert document["environment"]["databricks"] == {"mavenLibraries": []}
    assert document["hdi"] == {"yarnDeployMode": "cluster"}
    assert RunConfiguration.load(v1_project, "copy") == rc


def test_a_file_may_be_named_by_its_path(v1_project: Path) -> None:
    assert RunConfiguration.load(v1_project / ".azureml" / "cpu-cluster.runconfig").target == "cpu-cluster"


@pytest.mark.parametrize(
    "text",
    [
        "target: [",
        "- a",
        "framework: Perl",
        "environment: 5",
        "history: logs",
        "arguments: 5",
        "target: 5",
        "environment: x",
    ],
)
def test_a_file_that_cannot_be_understood_is_told_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "broken").write_text(text)

    with pytest.raises(RunConfigurationException, match=r"broken|x"):
        RunConfiguration.load(tmp_path, "broken")


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(string.printable),
        lambda inner: (
            st.dictionaries(st.text(string.printable, max_size=5), inner, max_size=3) | st.lists(inner, max_size=3)
        ),
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50)
def test_an_unknown_key_is_never_an_error(tmp_path: Path, value: Any) -> None:
    (tmp_path / "any").write_text(yaml.safe_dump({"script": "train.py", "somethingElse": value}))

    rc = RunConfiguration.load(tmp_path, "any")
    rc.save(tmp_path, "again")

    assert RunConfiguration.load(tmp_path, "again") == rc


TEXTS = st.text(st.characters(exclude_categories=["C"]), min_size=1, max_size=10)


@st.composite
def configurations(draw: st.DrawFn) -> RunConfiguration:
    """Any run configuration."""
    rc = RunConfiguration(draw(st.none() | TEXTS), draw(st.lists(TEXTS | st.integers() | st.floats(allow_nan=False))))
    rc.command = draw(st.none() | TEXTS | st.lists(TEXTS))
    rc.framework = draw(st.sampled_from(["Python", "PySpark", "CNTK", "TensorFlow", "PyTorch"]))
    rc.communicator = draw(st.sampled_from(["None", "ParameterServer", "OpenMpi", "IntelMpi", "Nccl", "Gloo"]))
    rc.target, rc.node_count = draw(TEXTS), draw(st.integers(1, 9))
    rc.max_run_duration_seconds = draw(st.none() | st.integers(1, 10**6))
    rc.priority, rc.job_name = draw(st.none() | st.integers()), draw(st.none() | TEXTS)
    rc.environment_variables = draw(st.dictionaries(TEXTS, TEXTS))
    rc.history = HistoryConfiguration(draw(st.booleans()), draw(st.booleans()), draw(st.lists(TEXTS)))
    rc.docker = DockerConfiguration(draw(st.booleans()), draw(st.booleans()), draw(st.lists(TEXTS)), draw(TEXTS))
    rc.pytorch = PyTorchConfiguration(draw(st.sampled_from(["Nccl", "Gloo"])), draw(st.none() | st.integers(1, 64)))
    rc.environment.version = draw(st.none() | TEXTS)
    python = rc.environment.python
    python.user_managed_dependencies, python.interpreter_path = draw(st.booleans()), draw(TEXTS)
    python.base_conda_environment = draw(st.none() | TEXTS)
    packages = draw(st.none() | st.lists(TEXTS))
    python.conda_dependencies = None if packages is None else CondaDependencies.create(pip_packages=packages)
    rc.environment.docker.base_image = draw(st.none() | TEXTS)
    rc.environment.docker.base_dockerfile = draw(st.none() | st.text(string.printable))
    return rc


@given(configurations(), st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
def test_a_configuration_survives_its_file(tmp_path: Path, rc: RunConfiguration, apart: bool) -> None:
    rc.save(tmp_path, "any", apart)

    assert RunConfiguration.load(tmp_path, "any") == rc
