"""Section 18: where the code of a run comes from."""

import subprocess
from pathlib import Path

import pytest

from runstream.core import Experiment

COMMIT = ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "--allow-empty", "-m", "x")


def git(*command: str) -> str:
    return subprocess.run(["git", *command], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def work_tree() -> str:
    """The current folder as a work tree with a remote; its commit."""
    git("init", "-q", "-b", "trunk")
    git("remote", "add", "origin", "https://ada:secret@example.com/ada/digits.git")
    git(*COMMIT)
    return git("rev-parse", "HEAD")


def test_a_run_has_the_git_properties_of_its_folder(exp: Experiment, work_tree: str) -> None:
    run = exp.start_logging(outputs=False)

    assert (
        run.get_properties().items()
        >= {
            "azureml.git.repository_uri": "https://example.com/ada/digits.git",
            "mlflow.source.git.repoURL": "https://example.com/ada/digits.git",
            "azureml.git.branch": "trunk",
            "mlflow.source.git.branch": "trunk",
            "azureml.git.commit": work_tree,
            "mlflow.source.git.commit": work_tree,
            "azureml.git.dirty": "False",
        }.items()
    )


def test_changes_make_a_work_tree_dirty_and_a_detached_head_has_no_branch(exp: Experiment, work_tree: str) -> None:
    git("checkout", "-q", "--detach")
    Path("new.py").write_text("")

    properties = exp.start_logging(outputs=False).get_properties()

    assert properties["azureml.git.dirty"] == "True"
    assert "azureml.git.branch" not in properties


def test_variables_win_over_git(exp: Experiment, work_tree: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BRANCH", "COMMIT", "DIRTY", "BUILD_ID"):
        monkeypatch.setenv(f"AZUREML_GIT_{name}", f"my {name}")
    monkeypatch.setenv("AZUREML_GIT_REPOSITORY_URI", "https://token@example.com/x")
    monkeypatch.setenv("AZUREML_GIT_BUILD_URI", "https://ci.example.com/1")

    assert (
        exp.start_logging(outputs=False).get_properties().items()
        >= {
            "azureml.git.repository_uri": "https://example.com/x",
            "azureml.git.branch": "my BRANCH",
            "azureml.git.commit": "my COMMIT",
            "azureml.git.dirty": "my DIRTY",
            "azureml.git.build_id": "my BUILD_ID",
            "azureml.git.build_uri": "https://ci.example.com/1",
        }.items()
    )


@pytest.mark.parametrize("path", [None, ""])
def test_without_a_repository_or_git_nothing_is_recorded(
    exp: Experiment, path: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if path is not None:
        monkeypatch.setenv("PATH", path)

    properties = exp.start_logging(outputs=False).get_properties()

    assert not [key for key in properties if "git" in key]
