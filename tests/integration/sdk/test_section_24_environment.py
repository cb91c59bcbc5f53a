"""Section 24: variables that users set. Those of a job are in section 5, those about git in section 18."""

import json
import os
from pathlib import Path

import pytest

from runstream._channel.address import store_login
from runstream.core import Run, Workspace


def test_a_login_says_where_the_services_are(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNSTREAM_ADDRESS")
    store_login(ws.location)

    assert Workspace.get(ws.name).location == ws.location


def test_services_of_this_machine_are_found_by_their_state_file(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNSTREAM_ADDRESS")
    folder = Path(os.environ["RUNSTREAM_STATE_DIR"])
    folder.mkdir(exist_ok=True)
    (folder / "up.json").write_text(json.dumps({"address": ws.location, "pid": os.getpid()}))

    assert Workspace.get(ws.name).location == ws.location


@pytest.mark.parametrize("form", ["grpc://{}", "http://{}/", " {} "])
def test_an_address_may_be_written_as_a_url(ws: Workspace, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_ADDRESS", form.format(ws.location))

    assert Workspace.get(ws.name).location == ws.location


def test_tuning_variables_of_sdk_v1_are_accepted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AZUREML_METRICS_BATCH_SIZE", "AZUREML_METRICS_POLLING_INTERVAL", "AZUREML_ARTIFACTS_DEFAULT_TIMEOUT"):
        monkeypatch.setenv(name, "50")
    monkeypatch.setenv("AZUREML_RUN_POLLING_INTERVAL_MIN", "0.1")
    monkeypatch.setenv("AZUREML_RUN_POLLING_INTERVAL_MAX", "0.1")

    run.log("loss", 0.5)
    run.complete()

    assert run.wait_for_completion()["status"] == "Completed"
    assert run.get_metrics() == {"loss": 0.5}
