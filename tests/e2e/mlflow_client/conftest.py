"""A backend that wants tokens, and what a stock client of MLflow did there."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from runstream.core import Workspace
from runstream_server.embedded.state import read_state
from tests.conftest import forget_settings, kept_running, short_folder
from tests.e2e.jobs.conftest import running_site
from tests.job_sites import Site
from tests.recording_proxy import Exchange, recording

SECONDS = 110
ROOT = Path(__file__).parents[3]
PYTHON = os.environ.get("MLFLOW_TEST_PYTHON", "")
"""An interpreter with another version of MLflow, and without Runstream. Default: this one."""
_NOTHING_COMPILED = "PYTHONDONTWRITEBYTECODE"
"""Is not set here: to compile MLflow takes seconds of each program."""


@dataclass(frozen=True)
class Played:
    """What the program read back, and what was asked meanwhile."""

    ws: Workspace
    results: dict[str, Any]
    exchanges: list[Exchange]


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """A backend of these tests, and its user, who is asked for no token."""
    with short_folder() as folder, running_site(folder, "--auth") as backend:
        yield backend


@pytest.fixture(scope="package")
def played(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Played]:
    """What came of the program of the user."""
    with pytest.MonkeyPatch.context() as patch:
        forget_settings(patch, site.settings)
        patch.delenv(_NOTHING_COMPILED, raising=False)
        ws = Workspace.create("acceptance")
        file = tmp_path_factory.mktemp("played") / "results.json"
        with kept_running(lambda: recording(ws._record.gateway_url)) as recorder:
            command = [PYTHON or sys.executable, "-W", "ignore", "-m", "tests.e2e.mlflow_client.program", str(file)]
            environment = {
                **site.environment,
                **_credentials(site),
                "MLFLOW_TRACKING_URI": f"{recorder.url}/workspaces/{ws.name}",
                "RUNSTREAM_GATEWAY_URL": recorder.url,
                "MLFLOW_REQUIREMENTS_INFERENCE_TIMEOUT": "1",
                "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
            }
            done = subprocess.run(
                command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=SECONDS, check=False
            )
        assert done.returncode == 0, done.stderr
        yield Played(ws, json.loads(file.read_text()), recorder.exchanges)


def _credentials(site: Site) -> dict[str, str]:
    if PYTHON:
        return {"MLFLOW_TRACKING_TOKEN": str(read_state(site.state / "up.json")["token"])}
    return {"MLFLOW_TRACKING_AUTH": "runstream"}


@pytest.fixture(autouse=True)
def project(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a program of this test's own, which is the current one, of the user of the backend."""
    forget_settings(monkeypatch, site.settings)
    for name in [name for name in os.environ if name.startswith("MLFLOW_") or name == _NOTHING_COMPILED]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path
