"""What the client of MLflow finds in the SDK: the token for its requests, and the run of the job."""

from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from runstream._mlflow import AuthProvider, RunContext, gateway_of, is_below, show_token
from runstream.api.runs.v1.workspace_pb2 import Workspace
from runstream.exceptions import UserErrorException
from tests.conftest import forget_settings

GATEWAY = "https://runs.example.com/base"
URL = f"{GATEWAY}/workspaces/space/api/2.0/mlflow/runs/get?run_id=1"


@dataclass
class Request:
    """A request that is about to be sent."""

    url: str
    headers: dict[str, str] = field(default_factory=dict)


def shown(url: str, header: str = "") -> str | None:
    request = Request(url, {"Authorization": header} if header else {})
    assert show_token(request) == request
    return request.headers.get("Authorization")


@pytest.fixture
def token(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a job is told: the file with its token."""
    file = tmp_path / "token"
    file.write_text("rsr_now")
    known = {
        "RUNSTREAM_ADDRESS": "host:7878",
        "RUNSTREAM_STATE_DIR": str(tmp_path / "state"),
        "RUNSTREAM_TOKEN_FILE": str(file),
        "RUNSTREAM_TOKEN": "rsr_at_first",
        "RUNSTREAM_GATEWAY_URL": GATEWAY,
    }
    forget_settings(monkeypatch, known)
    return file


def test_mlflow_finds_the_provider_by_the_name_that_jobs_are_told() -> None:
    (found,) = entry_points(group="mlflow.request_auth_provider", name="runstream")

    provider = found.load()()

    assert isinstance(provider, AuthProvider)
    assert (provider.get_name(), provider.get_auth()) == ("runstream", show_token)


def test_each_request_shows_the_token_as_it_is_then(token: Path) -> None:
    before = shown(URL, "Bearer rsr_at_first")
    token.write_text("rsr_later")

    assert (before, shown(URL, "Bearer rsr_at_first"), shown(URL)) == (
        "Bearer rsr_now",
        "Bearer rsr_later",
        "Bearer rsr_later",
    )


@pytest.mark.parametrize(
    "url",
    [
        "http://runs.example.com/base/workspaces/space",
        "https://runs.example.com:8443/base/workspaces/space",
        "https://runs.example.com/other/workspaces/space",
        "https://runs.example.com/baseless/workspaces/space",
        "https://runs.example.com.evil.org/base/workspaces/space",
        "https://runs.example.com@evil.org/base/workspaces/space",
        "https://evil.org/?https://runs.example.com/base/workspaces/space",
    ],
)
def test_no_other_server_sees_the_token_not_even_as_it_was_at_first(token: Path, url: str) -> None:
    assert shown(url) is shown(url, "Bearer rsr_at_first") is None
    assert shown(url, "Basic of-the-user") == "Basic of-the-user"


@pytest.mark.parametrize("url", [GATEWAY, f"{GATEWAY}/", f"{GATEWAY}/x", "https://RUNS.example.com:443/base/x?y#z"])
def test_what_is_below_the_gateway_is_of_it(url: str) -> None:
    assert is_below(url, GATEWAY)
    assert is_below(url, f"{GATEWAY}/")


def test_a_gateway_whose_port_is_none_breaks_no_request(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNSTREAM_GATEWAY_URL", "https://runs.example.com:many/base")

    assert shown(URL) is None


def test_where_there_is_no_token_requests_stay_as_they_are(token: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUNSTREAM_TOKEN_FILE")
    monkeypatch.delenv("RUNSTREAM_TOKEN")
    no_token = shown(URL, "Bearer own")
    monkeypatch.delenv("RUNSTREAM_ADDRESS")

    assert no_token == shown(URL, "Bearer own") == "Bearer own"


def test_where_nobody_knows_the_gateway_the_error_says_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch, {})

    with pytest.raises(UserErrorException, match="RUNSTREAM_GATEWAY_URL"):
        gateway_of(Workspace(name="workspaces/space"))


def test_runs_that_a_job_makes_with_mlflow_are_below_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = entry_points(group="mlflow.run_context_provider", name="runstream")
    context = found.load()()
    forget_settings(monkeypatch, {"RUNSTREAM_GATEWAY_URL": GATEWAY, "RUNSTREAM_RUN_ID": "run-1"})
    contexts = {}
    for uri in (f"{GATEWAY}/workspaces/space", "https://mlflow.example.com", "mlruns", ""):
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
        contexts[uri] = context.in_context()

    assert isinstance(context, RunContext)
    assert list(contexts.values()) == [True, False, False, False]
    assert context.tags() == {"mlflow.parentRunId": "run-1"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", GATEWAY)
    monkeypatch.delenv("RUNSTREAM_RUN_ID")
    assert not context.in_context()
