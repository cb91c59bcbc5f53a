"""Snapshots of runs that are recorded offline."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from runstream.core import Workspace

RUNSTREAM = str(Path(sys.executable).with_name("runstream"))
SCRIPT = """
import sys
from runstream.core import Experiment, Workspace
from runstream.exceptions import SnapshotException
try:
    Experiment(Workspace.get(sys.argv[1]), "digits").start_logging(run_id="one", outputs=False).complete()
except SnapshotException as error:
    print(error.message)
"""


@pytest.fixture(autouse=True)
def spool_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of spools of this test's own."""
    monkeypatch.setenv("RUNSTREAM_SPOOL_DIR", str(tmp_path / "spool"))
    return tmp_path / "spool"


def offline(workspace: str) -> str:
    """Records a run; what is printed."""
    environment = {**os.environ, "RUNSTREAM_MODE": "offline", "RUNSTREAM_ADDRESS": "127.0.0.1:1"}
    command = [sys.executable, "-c", SCRIPT, workspace]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def sync() -> dict[str, object]:
    """Uploads what was recorded; what the command says."""
    done = subprocess.run([RUNSTREAM, "sync", "-o", "json"], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


def test_a_snapshot_is_stored_as_the_folder_was_when_the_run_began(ws: Workspace, spool_folder: Path) -> None:
    Path("empty").mkdir()
    Path("train.py").write_text("before")
    Path("again.py").write_text("before")
    Path("train.py").chmod(0o755)
    assert offline(ws.name) == ""
    Path("train.py").write_text("after")

    assert sync()["troubles"] == []
    with zipfile.ZipFile(ws.get_run("one").restore_snapshot()) as archive:
        assert archive.namelist() == ["again.py", "empty/", "train.py"]
        assert archive.read("train.py") == b"before"
        assert archive.getinfo("train.py").external_attr >> 16 & 0o777 == 0o755
    assert not list(spool_folder.glob("*/*.journal*"))


def test_a_folder_that_no_service_would_take_is_refused_offline_too(ws: Workspace) -> None:
    for number in range(2_001):
        Path(f"{number}").write_text(f"{number}")

    assert "2,001 changed files" in offline(ws.name)
    assert sync()["runs"] == 0
