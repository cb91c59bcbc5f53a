"""Section 5: the run of a job, and the offline run outside of one."""

import subprocess
import sys
from pathlib import Path

import pytest

from runstream.core import Experiment, Run, Workspace
from runstream.core.run import _OfflineRun, _SubmittedRun
from runstream.exceptions import RunEnvironmentException

NAMES = ("RUN_ID", "ARM_SUBSCRIPTION", "ARM_RESOURCEGROUP", "ARM_WORKSPACE_NAME", "ARM_PROJECT_NAME", "RUN_TOKEN")


@pytest.fixture
def job(exp: Experiment, run: Run, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment of a job, as SDK v1 has it."""
    values = (run.id, "sub", "group", exp.workspace.name, exp.name, "token")
    environment = {f"AZUREML_{name}": value for name, value in zip(NAMES, values, strict=True)}
    environment["AZUREML_SERVICE_ENDPOINT"] = exp.workspace.location
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("RUNSTREAM_ADDRESS")
    return environment


def test_the_context_of_a_job_is_its_run(job: dict[str, str], run: Run) -> None:
    context = Run.get_context()

    assert isinstance(context, _SubmittedRun)
    assert (context.id, context.experiment.name, context.status) == (run.id, "digits", "Running")
    assert (context.experiment.id, context.number, context.display_name) == (run.experiment.id, 1, run.display_name)
    assert (context.input_datasets, context.output_datasets) == ({}, {})
    assert context.experiment.workspace.subscription_id == "sub"


def test_the_context_of_a_job_is_one_object(job: dict[str, str]) -> None:
    assert Run.get_context() is Run.get_context(allow_offline=False)


def test_our_own_variables_make_a_context_too(exp: Experiment, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_RUN_ID", run.id)
    monkeypatch.setenv("RUNSTREAM_WORKSPACE", exp.workspace.name)
    monkeypatch.setenv("RUNSTREAM_EXPERIMENT", exp.name)

    assert (Run.get_context().id, Run.get_context().get_status()) == (run.id, "Running")


@pytest.mark.parametrize("missing", [*(f"AZUREML_{name}" for name in NAMES), "AZUREML_SERVICE_ENDPOINT"])
def test_a_missing_variable_means_that_this_is_no_job(
    job: dict[str, str], missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(missing)

    context: object = Run.get_context()
    assert type(context) == _OfflineRun  # noqa: E721  (as scripts compare)
    with pytest.raises(RunEnvironmentException, match=r"submitted run.*experiment\.start_logging"):
        Run.get_context(allow_offline=False)


def test_a_job_does_not_end_its_own_run(job: dict[str, str], run: Run) -> None:
    context = Run.get_context()

    context.complete()
    assert run.get_status() == "Running"
    context.cancel()
    assert run.get_status() == "Running"
    context.fail("not so good", "Poor")
    assert run.get_status() == "Running"
    assert run.get_details()["error"]["error"] == {"code": "Poor", "message": "not so good", "details": []}


def test_a_job_may_go_on_after_complete(job: dict[str, str], run: Run) -> None:
    context = Run.get_context()
    context.complete()

    context.tag("after", "1")

    assert run.get_tags() == {"after": "1"}


def test_children_and_parents_had_from_a_job_are_ordinary_runs(
    job: dict[str, str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    context = Run.get_context()
    child, (first, second) = context.child_run("a"), context.create_children(count=2)

    child.complete()
    first.fail("bad")
    second.cancel()

    assert {type(each) for each in (child, first, second)} == {Run}
    assert [each.get_status() for each in (child, first, second)] == ["Completed", "Failed", "Canceled"]
    assert {each.id for each in run.get_children()} == {child.id, first.id, second.id}
    monkeypatch.setenv("AZUREML_RUN_ID", child.id)
    parent = Run.get_context().parent
    assert type(parent) is Run
    parent.complete()
    assert run.get_status() == "Completed"


def test_without_a_job_the_context_prints_what_it_would_store(capsys: pytest.CaptureFixture[str]) -> None:
    context = Run.get_context()
    context.tag("t")

    assert context.id.startswith("OfflineRun_")
    assert "Attempted to add tag t with value None" in capsys.readouterr().out


def test_a_job_gets_its_context_without_asking_the_services(job: dict[str, str], tmp_path: Path) -> None:
    environment = {**job, "AZUREML_SERVICE_ENDPOINT": "127.0.0.1:9", "PATH": ""}
    script = "from runstream.core import Run; print(Run.get_context().id)"

    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )

    assert done.stdout.strip() == job["AZUREML_RUN_ID"]


def test_a_workspace_is_named_by_the_job(job: dict[str, str], ws: Workspace) -> None:
    assert Run.get_context().experiment.workspace.get_details()["id"] == f"workspaces/{ws.name}"
