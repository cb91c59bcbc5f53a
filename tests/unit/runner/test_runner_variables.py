"""What a script finds in its environment."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from runstream._runner.job import JobToRun
from runstream._runner.start import runner_environment
from runstream._runner.variables import job_variables
from runstream.api.jobs.v1.job_pb2 import JobDefinition

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


def variables(surroundings: Mapping[str, str]) -> dict[str, str]:
    return job_variables(JOB, "digits", JobDefinition(), Path("/jobs/run"), surroundings)


def test_programs_written_for_sdk_v1_find_all_that_it_named() -> None:
    found = variables({})

    assert {name for name, value in found.items() if value} >= OF_SDK_V1


def test_where_no_token_is_needed_it_never_expires() -> None:
    found = variables({})

    assert found["AZUREML_RUN_TOKEN"] == "none-needed"
    assert datetime.fromtimestamp(int(found["AZUREML_RUN_TOKEN_EXPIRY"]), UTC).year == 9999


def test_the_token_of_the_run_is_passed_on_with_what_is_known_of_its_end() -> None:
    found = variables({"RUNSTREAM_TOKEN": "t", "AZUREML_RUN_TOKEN_EXPIRY": "1800000000"})

    assert (found["AZUREML_RUN_TOKEN"], found["AZUREML_RUN_TOKEN_EXPIRY"]) == ("t", "1800000000")
    assert "AZUREML_RUN_TOKEN_EXPIRY" not in variables({"RUNSTREAM_TOKEN": "t"})


def test_variables_of_an_mlflow_that_is_not_there_are_not_made_up() -> None:
    assert not [name for name in variables({}) if name.startswith("MLFLOW_")]


@pytest.mark.parametrize(
    ("known", "shares_token", "is_passed_on"),
    [
        ({}, True, True),
        ({}, False, False),
        ({"RUNSTREAM_RUN_ID": "parent"}, True, False),
    ],
)
def test_only_who_submits_a_run_itself_shares_its_token(
    known: dict[str, str], shares_token: bool, is_passed_on: bool
) -> None:
    environment = runner_environment({"RUNSTREAM_TOKEN": "t", "HOME": "/h", **known}, shares_token=shares_token)

    assert ("RUNSTREAM_TOKEN" in environment) is is_passed_on
    assert environment["HOME"] == "/h"
    assert "RUNSTREAM_RUN_ID" not in environment


def test_an_mlflow_server_of_the_users_own_is_passed_on_and_its_run_is_not() -> None:
    own = {"MLFLOW_TRACKING_URI": "http://mlflow", "MLFLOW_EXPERIMENT_NAME": "mine"}

    assert runner_environment({**own, "MLFLOW_RUN_ID": "r"}, shares_token=True) == own
