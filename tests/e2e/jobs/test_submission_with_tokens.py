"""Submission to a backend of this machine that wants tokens: its user is asked for none."""

import uuid
from pathlib import Path

import pytest

from runstream._channel import loop
from runstream.core import Experiment, Run, Workspace
from runstream.exceptions import AuthenticationException
from tests.conftest import forget_settings, short_folder
from tests.e2e.jobs.conftest import running_site
from tests.job_sites import agent, log_of, make_pool, script

HELLO = """
import os
from runstream.core import Run
Run.get_context(allow_offline=False).log("loss", 0.5)
print("hello", os.environ["RUNSTREAM_TOKEN"][:4])
"""


def test_a_script_is_submitted_executed_and_read_here_and_by_an_agent_with_a_token(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with short_folder() as folder, running_site(folder, "--auth") as site:
        forget_settings(monkeypatch, {"RUNSTREAM_STATE_DIR": str(site.state)})
        ws = Workspace.create(f"ws-{uuid.uuid4().hex[:24]}")
        pool = make_pool(ws)
        with agent(site, ws, pool):
            runs = [Experiment(ws, "digits").submit(script(HELLO, target=target)) for target in (None, pool)]
            ends = [run.wait_for_completion()["status"] for run in runs]

        assert ends == ["Completed"] * 2
        assert [log_of(run) for run in runs] == ["hello rsr_\n"] * 2
        assert [run.get_metrics() for run in runs] == [{"loss": 0.5}] * 2
        monkeypatch.setenv("RUNSTREAM_TOKEN", "rst_" + "a" * 43)
        with pytest.raises(AuthenticationException, match="RUNSTREAM_TOKEN"):
            Run.get(ws, runs[0].id)
        monkeypatch.delenv("RUNSTREAM_TOKEN")
        loop.stop()
