"""A whole backend, and the SDK on it as a script uses it."""

import os
import signal
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runstream._channel import loop
from runstream.core import Experiment, Workspace
from runstream_server.embedded.state import read_state
from tests.barriers import Barrier, barrier_at
from tests.conditions import wait_until
from tests.conftest import forget_settings, short_folder
from tests.job_sites import RUNSTREAM, Site
from tests.mortal import mortal


@pytest.fixture(scope="package")
def site() -> Iterator[Site]:
    """A backend of these tests. At their end nothing of what they submitted is left."""
    with short_folder() as folder, running_site(folder) as backend:
        yield backend


@contextmanager
def running_site(folder: Path, *arguments: str) -> Iterator[Site]:
    """A backend on a folder of its own. At the end nothing of what was submitted is left."""
    environment = {**os.environ, "RUNSTREAM_STATE_DIR": str(folder / "state")}
    command = mortal(RUNSTREAM, "up", "--data", str(folder / "data"), "--port", "0", *arguments)
    site = None
    with subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until(lambda: bool(read_state(folder / "state" / "up.json")) or process.poll() is not None)
            site = Site(folder, str(read_state(folder / "state" / "up.json")["address"]))
            yield site
            wait_until(lambda: not site.processes())
        finally:
            loop.stop()
            for left in site.processes() if site else ():
                left.kill()
            process.send_signal(signal.SIGINT)


@pytest.fixture(autouse=True)
def project(site: Site, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a script of this test's own, which is the current one, of a user of the backend."""
    forget_settings(monkeypatch, site.settings)
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def ws(project: Path) -> Workspace:
    """A workspace of this test's own."""
    return Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")


@pytest.fixture
def exp(ws: Workspace) -> Experiment:
    """An experiment without runs."""
    return Experiment(ws, "digits")


@pytest.fixture
def barrier(tmp_path: Path) -> Iterator[Barrier]:
    """What the scripts of a test wait at."""
    with barrier_at(tmp_path / "barrier") as made:
        yield made
