"""Section 1: what can be imported, and that both forms have the same surface."""

import inspect
import subprocess
import sys

import pytest

from runstream import aio, core
from runstream.core import Run, compute
from runstream.core.run import _OfflineRun, _SubmittedRun

MODULES = {
    "runstream.core": [
        *("Workspace", "Experiment", "Run", "ScriptRun", "ScriptRunConfig", "RunConfiguration", "Environment"),
        *("ComputeTarget", "get_run", "VERSION"),
    ],
    "runstream.core.run": ["Run", "get_run", "_OfflineRun", "_SubmittedRun"],
    "runstream.core.experiment": ["Experiment"],
    "runstream.core.workspace": ["Workspace"],
    "runstream.core.script_run": ["ScriptRun"],
    "runstream.core.script_run_config": ["ScriptRunConfig", "get_run_config_from_script_run"],
    "runstream.core.runconfig": [
        *("RunConfiguration", "MpiConfiguration", "PyTorchConfiguration", "TensorflowConfiguration"),
        *("DockerConfiguration", "HistoryConfiguration", "ParallelTaskConfiguration"),
        *("DEFAULT_CPU_IMAGE", "DEFAULT_GPU_IMAGE"),
    ],
    "runstream.core.environment": ["Environment", "CondaDependencies"],
    "runstream.core.conda_dependencies": ["CondaDependencies"],
    "runstream.core.compute": ["ComputeTarget", "AmlCompute", "KubernetesCompute"],
    "runstream.core.compute_target": ["ComputeTargetException"],
}

BLOCKING_ONLY = {"parent", "experiments", "compute_targets", "environments", "datastores", "datasets", "models"}
AWAITING_ONLY = {
    "get_parent",
    "refresh",
    "set_display_name",
    "set_description",
    "get_experiments",
    "get",
    "get_compute_targets",
    "get_environments",
}


def public(cls: type) -> set[str]:
    return {name for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("module", MODULES)
def test_names_are_where_scripts_import_them_from(module: str) -> None:
    imported = __import__(module, fromlist=["*"])

    for name in MODULES[module]:
        assert hasattr(imported, name)
    assert isinstance(core.VERSION, str)


@pytest.mark.parametrize(
    "name", ["Workspace", "Experiment", "Run", "ScriptRun", "Environment", "AmlCompute", "KubernetesCompute"]
)
def test_both_forms_have_the_same_methods_with_the_same_parameters(name: str) -> None:
    blocking, awaiting = getattr(core, name, None) or getattr(compute, name), getattr(aio, name)

    assert public(blocking) - public(awaiting) <= BLOCKING_ONLY
    assert public(awaiting) - public(blocking) <= AWAITING_ONLY
    for method in public(blocking) & public(awaiting):
        one, other = getattr(blocking, method), getattr(awaiting, method)
        if callable(one):
            assert list(inspect.signature(one).parameters) == list(inspect.signature(other).parameters), method


def test_an_offline_run_has_all_of_a_run() -> None:
    offline = _OfflineRun()
    classwide = {"get", "get_context", "list", "list_by_compute", "add_type_provider"}

    missing = {
        name for name in public(Run) - classwide if not hasattr(type(offline), name) and name not in vars(offline)
    }

    assert missing == set()


def test_methods_are_functions_with_signature_and_documentation() -> None:
    assert list(inspect.signature(Run.log).parameters) == ["self", "name", "value", "description", "step"]
    assert list(inspect.signature(Run.tag).parameters) == ["self", "key", "value"]
    assert inspect.isfunction(Run.tag)
    assert not inspect.iscoroutinefunction(Run.tag)
    assert inspect.iscoroutinefunction(aio.Run.tag)
    for name in public(Run):
        assert inspect.getdoc(getattr(Run, name)), name


def test_the_run_of_a_job_is_a_run() -> None:
    assert issubclass(_SubmittedRun, Run)
    assert not issubclass(_OfflineRun, Run)


def test_importing_the_sdk_imports_nothing_heavy() -> None:
    program = "import sys, runstream.core, runstream.aio; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"grpc", "numpy", "pandas", "matplotlib", "rich", "click", "yaml"} & set(modules)


def test_a_script_that_logs_does_not_import_what_submits() -> None:
    program = (
        "import sys, runstream.core; print(*sys.modules); runstream.core.Environment, runstream.core.ScriptRunConfig"
    )
    modules = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout.split()

    assert not {"runstream.core._job.settings", "runstream.core._compute", "runstream.api.jobs"} & set(modules)
    with pytest.raises(AttributeError, match="no attribute 'Enviroment'"):
        core.Enviroment  # type: ignore[attr-defined]  # noqa: B018


def test_importing_the_sdk_starts_no_thread() -> None:
    program = "import threading, runstream.core; print(threading.active_count())"

    assert subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True).stdout == "1\n"
