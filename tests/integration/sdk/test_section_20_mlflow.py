"""Section 20: where MLflow finds a workspace."""

import os
import re

import aiohttp
import pytest

from runstream.aio import Workspace as AsyncWorkspace
from runstream.core import Workspace


async def test_a_workspace_says_where_mlflow_finds_it(ws: Workspace) -> None:
    url = ws.get_mlflow_tracking_uri()

    async with aiohttp.ClientSession() as session, session.get(f"{url}/version") as response:
        assert response.status == 200
    assert re.fullmatch(rf"http://127\.0\.0\.1:\d+/workspaces/{ws.name}", url)
    assert Workspace.get(ws.name).get_mlflow_tracking_uri() == ws.get_details()["mlFlowTrackingUri"] == url
    assert "MLFLOW_TRACKING_AUTH" not in os.environ


async def test_the_asynchronous_form_says_so_too(ws: Workspace) -> None:
    assert (await AsyncWorkspace.get(ws.name)).get_mlflow_tracking_uri() == ws.get_mlflow_tracking_uri()


def test_the_environment_may_know_another_way_to_the_gateway(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_GATEWAY_URL", "https://tunnel.example.com/")

    assert ws.get_mlflow_tracking_uri() == f"https://tunnel.example.com/workspaces/{ws.name}"


def test_where_a_token_is_known_mlflow_is_told_to_ask_for_it(ws: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("MLFLOW_TRACKING_AUTH", "MLFLOW_TRACKING_TOKEN"):
        monkeypatch.setenv(name, "own")
        ws.get_mlflow_tracking_uri()
        monkeypatch.delenv(name)
    monkeypatch.setenv("RUNSTREAM_TOKEN", "rst_1")
    monkeypatch.setenv("MLFLOW_TRACKING_AUTH", "")  # what is set in the test is taken back after it

    ws.get_mlflow_tracking_uri()

    assert os.environ["MLFLOW_TRACKING_AUTH"] == "runstream"
