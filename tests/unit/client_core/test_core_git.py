"""Section 18: git provenance."""

import subprocess
from pathlib import Path

import pytest

from runstream.core._git import git_properties, without_credentials

NOBODY = {
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_CONFIG_SYSTEM": "/dev/null",
    "GIT_AUTHOR_NAME": "a",
    "GIT_AUTHOR_EMAIL": "a@example.org",
    "GIT_COMMITTER_NAME": "a",
    "GIT_COMMITTER_EMAIL": "a@example.org",
}


@pytest.fixture
def work_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository on branch `trunk` with one commit and a remote with a password."""
    for name, value in NOBODY.items():
        monkeypatch.setenv(name, value)
    git(tmp_path, "init", "-q", "-b", "trunk")
    git(tmp_path, "remote", "add", "origin", "https://ada:secret@example.org/project.git")
    (tmp_path / "train.py").write_text("")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-qm", "first")
    return tmp_path


def git(folder: Path, *command: str) -> str:
    return subprocess.run(["git", *command], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_everything_git_knows_is_a_property_without_credentials(work_tree: Path) -> None:
    commit = git(work_tree, "rev-parse", "HEAD")

    assert git_properties(work_tree, {}) == {
        "azureml.git.repository_uri": "https://example.org/project.git",
        "mlflow.source.git.repoURL": "https://example.org/project.git",
        "azureml.git.branch": "trunk",
        "mlflow.source.git.branch": "trunk",
        "azureml.git.commit": commit,
        "mlflow.source.git.commit": commit,
        "azureml.git.dirty": "False",
    }


def test_changes_that_are_not_committed_make_it_dirty(work_tree: Path) -> None:
    (work_tree / "train.py").write_text("changed")

    assert git_properties(work_tree, {})["azureml.git.dirty"] == "True"


def test_a_detached_head_has_no_branch(work_tree: Path) -> None:
    git(work_tree, "checkout", "-q", "--detach")

    assert "azureml.git.branch" not in git_properties(work_tree, {})


def test_no_remote_means_no_repository(work_tree: Path) -> None:
    git(work_tree, "remote", "remove", "origin")

    assert "azureml.git.repository_uri" not in git_properties(work_tree, {})


def test_outside_of_a_repository_there_is_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))

    assert git_properties(tmp_path, {}) == {}


def test_without_git_there_is_nothing(work_tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(work_tree))

    assert git_properties(work_tree, {}) == {}


def test_the_environment_wins(work_tree: Path) -> None:
    environ = {
        "AZUREML_GIT_REPOSITORY_URI": "https://token@example.org/other.git",
        "AZUREML_GIT_BRANCH": "main",
        "AZUREML_GIT_COMMIT": "abc",
        "AZUREML_GIT_DIRTY": "True",
        "AZUREML_GIT_BUILD_ID": "7",
        "AZUREML_GIT_BUILD_URI": "https://example.org/builds/7",
    }

    assert git_properties(work_tree, environ) == {
        "azureml.git.repository_uri": "https://example.org/other.git",
        "mlflow.source.git.repoURL": "https://example.org/other.git",
        "azureml.git.branch": "main",
        "mlflow.source.git.branch": "main",
        "azureml.git.commit": "abc",
        "mlflow.source.git.commit": "abc",
        "azureml.git.dirty": "True",
        "azureml.git.build_id": "7",
        "azureml.git.build_uri": "https://example.org/builds/7",
    }


@pytest.mark.parametrize(
    ("url", "clean"),
    [
        ("https://user:pass@host/a.git", "https://host/a.git"),
        ("https://token@host:8443/a.git", "https://host:8443/a.git"),
        ("https://host/a@b.git", "https://host/a@b.git"),
        ("https://us%40er:p@ss@host/a", "https://host/a"),
        ("https://user:pass@[::1/a", "https://[::1/a"),
        ("ssh://git:pw@host/a.git", "ssh://host/a.git"),
        ("git@host:team/a.git", "git@host:team/a.git"),
        ("git:pw@host:team/a.git", "host:team/a.git"),
        ("/srv/a.git", "/srv/a.git"),
    ],
)
def test_credentials_leave_urls_of_every_form(url: str, clean: str) -> None:
    assert without_credentials(url) == clean
