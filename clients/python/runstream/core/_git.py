"""Where the code of a run comes from, as properties of the run."""

import os
import re
import subprocess
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

GIT_SECONDS = 10
FACTS = {  # name of the fact: (the properties that hold it, the git command that tells it)
    "repository_uri": (
        ("azureml.git.repository_uri", "mlflow.source.git.repoURL"),
        ("ls-remote", "--get-url"),
    ),
    "branch": (("azureml.git.branch", "mlflow.source.git.branch"), ("symbolic-ref", "--short", "HEAD")),
    "commit": (("azureml.git.commit", "mlflow.source.git.commit"), ("rev-parse", "HEAD")),
    "dirty": (("azureml.git.dirty",), ("status", "--porcelain", ".")),
    "build_id": (("azureml.git.build_id",), None),
    "build_uri": (("azureml.git.build_uri",), None),
}


def git_properties(folder: str | os.PathLike[str], environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The git properties of the work tree `folder` is in; those that cannot be found out are absent.

    `AZUREML_GIT_REPOSITORY_URI`, `_BRANCH`, `_COMMIT`, `_DIRTY`, `_BUILD_ID` and `_BUILD_URI` win over what git says.
    Names and passwords in URLs are left out.
    """
    inside = _git(folder, "rev-parse", "--is-inside-work-tree") == "true"
    properties: dict[str, str] = {}
    for fact, (keys, command) in FACTS.items():
        value = environ.get(f"AZUREML_GIT_{fact.upper()}") or (_ask(folder, fact, command) if inside else None)
        if value:
            properties.update(dict.fromkeys(keys, without_credentials(value) if fact.endswith("uri") else value))
    return properties


def without_credentials(url: str) -> str:
    """`url` without the name and the password in it; `git@host:path`, where the name is no secret, stays."""
    if "://" not in url:
        return re.sub(r"^[^@/]*:[^@/]*@", "", url)
    try:
        parts = urlsplit(url)
    except ValueError:
        return re.sub(r"//[^/]*@", "//", url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _ask(folder: str | os.PathLike[str], fact: str, command: tuple[str, ...] | None) -> str | None:
    answer = _git(folder, *command) if command else None
    if fact == "dirty":
        return None if answer is None else str(bool(answer))
    # without a remote, git answers with the name of the remote it would have asked
    return None if fact == "repository_uri" and answer == "origin" else answer


def _git(folder: str | os.PathLike[str], *command: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *command],
            cwd=folder,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
            env={**os.environ, "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"},  # nobody else is held up
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
