"""The command line in this process, without services."""

from collections.abc import Callable
from pathlib import Path

import click.testing
import pytest

from runstream._cli.program import program

Invoke = Callable[..., click.testing.Result]


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty current folder of a user without services."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("RUNSTREAM_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.delenv("RUNSTREAM_ADDRESS", raising=False)
    return folder


@pytest.fixture
def invoke(elsewhere: Path) -> Invoke:
    """Calls the program with arguments."""
    return lambda *arguments: click.testing.CliRunner().invoke(program, arguments, prog_name="runstream")
