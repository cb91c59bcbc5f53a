"""What a script finds in its environment."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
from google.protobuf.timestamp_pb2 import Timestamp

from runstream._channel.tokens import Token
from runstream._runner.access import Access
from runstream._runner.job import JobToRun
from runstream._runner.start import runner_environment
from runstream._runner.variables import job_variables
from runstream.api.jobs.v1.job_pb2 import JobDefinition, RunToken
from tests.conftest import forget_settings

JOB = JobToRun("workspaces/space/runs/run", "host:7878", "holder")
OF_SDK_V1 = {
    "AZUREML_RUN_ID",
    "AZUREML_ARM_SUBSCRIPTION",
    "AZUREML_ARM_RESOURCEGROUP",
    "AZUREML_ARM_WORKSPACE_NAME",
    "AZUREML_ARM_PROJECT_NAME",
    "AZUREML_RUN_TOKEN",
    "AZUREML_RUN_TOKEN_EXPIRY",
    "AZUREML_SERVICE_ENDPOINT",
    "AZUREML_DISCOVERY_SERVICE_ENDPOINT",
    "AZUREML_EXPERIMENT_ID",
    "AZUREML_WORKSPACE_ID",
    "AZUREML_OUTPUT_DIRECTORY",
}


def variables(surroundings: Mapping[str, str], access: Mapping[str, str] | None = None) -> dict[str, str]:
    access = Access(Path("/jobs/none"), JOB.address, {}).variables() if access is None else access
    return job_variables(JOB, "digits", JobDefinition(), Path("/jobs/run"), access, surroundings)


def test_programs_written_for_sdk_v1_find_all_that_it_named() -> None:
    found = variables({})

    assert {name for name, value in found.items() if value} >= OF_SDK_V1


def test_where_no_token_is_needed_it_never_expires() -> None:
    found = variables({})

    assert found["AZUREML_RUN_TOKEN"] == "none-needed"
    assert datetime.fromtimestamp(int(found["AZUREML_RUN_TOKEN_EXPIRY"]), UTC).year == 9999


def test_a_script_gets_the_run_token_and_no_other_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forget_settings(monkeypatch, {"RUNSTREAM_TOKEN": "of the starter", "RUNSTREAM_TOKEN_FILE": "/home/token"})
    access = Access(tmp_path, JOB.address, os.environ)
    others = variables(os.environ, access.variables())
    access.take(RunToken(secret="rsr_1", expire_time=Timestamp(seconds=1_800_000_000)))
    found = variables(os.environ, access.variables())

    assert not {"RUNSTREAM_TOKEN", "RUNSTREAM_TOKEN_FILE"} & set(others)
    assert (found["AZUREML_RUN_TOKEN"], found["AZUREML_RUN_TOKEN_EXPIRY"]) == ("rsr_1", "1800000000")
    assert found["RUNSTREAM_TOKEN"] == Path(found["RUNSTREAM_TOKEN_FILE"]).read_text().strip() == "rsr_1"
    assert Path(found["RUNSTREAM_TOKEN_FILE"]).stat().st_mode & 0o777 == 0o600


def test_a_runner_shows_the_run_token_and_where_it_is_refused_that_of_who_started_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_settings(
        monkeypatch, {"RUNSTREAM_TOKEN": "starter", "RUNSTREAM_TOKEN_FILE": "", "RUNSTREAM_STATE_DIR": str(tmp_path)}
    )
    access = Access(tmp_path, JOB.address, os.environ)
    assert access.credential.token.secret == "starter"
    access.take(RunToken(secret="rsr_1", expire_time=Timestamp(seconds=1_800_000_000)))

    assert access.credential.replaces(Token("starter"))
    assert access.credential.token.secret == "rsr_1"
    assert not access.credential.replaces(Token("rsr_1"))
    access.take(RunToken(secret="rsr_2"))
    assert access.credential.replaces(Token("rsr_1"))
    assert access.credential.token.secret == "rsr_2"


def test_a_runner_claims_its_job_with_the_token_of_who_starts_it_as_it_is_now(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("new")
    known = {"RUNSTREAM_TOKEN": "old", "RUNSTREAM_TOKEN_FILE": str(file), "HOME": "/h", "RUNSTREAM_RUN_ID": "parent"}

    assert runner_environment(known) == {
        "RUNSTREAM_TOKEN": "new",
        "RUNSTREAM_TOKEN_FILE": str(file),
        "HOME": "/h",
    }


@pytest.mark.parametrize(("token", "expected"), [("", {}), ("rsr_1", {"RUNSTREAM_TOKEN": "rsr_1"})])
def test_a_runner_that_is_given_a_token_sees_no_other_one(token: str, expected: dict[str, str]) -> None:
    assert runner_environment({"RUNSTREAM_TOKEN": "t", "RUNSTREAM_TOKEN_FILE": "/t"}, token) == expected


def test_an_mlflow_server_of_the_users_own_is_passed_on_and_its_run_is_not() -> None:
    own = {"MLFLOW_TRACKING_URI": "http://mlflow", "MLFLOW_EXPERIMENT_NAME": "mine"}

    assert runner_environment({**own, "MLFLOW_RUN_ID": "r"}) == own


def test_where_the_job_that_submits_another_one_records_with_mlflow_is_nothing_to_that_one() -> None:
    told = {
        "MLFLOW_TRACKING_URI": "http://host:1",
        "MLFLOW_TRACKING_TOKEN": "t",
        "RUNSTREAM_GATEWAY_URL": "http://host:1",
    }

    assert runner_environment({**told, "RUNSTREAM_RUN_ID": "r"}) == {}
    assert runner_environment({**told}) == told
