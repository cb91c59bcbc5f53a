"""The variables by which MLflow finds the run of a job."""

from collections.abc import Container
from pathlib import Path

import pytest

from runstream._channel import Connection
from runstream._runner.containers import Container as JobContainer
from runstream._runner.job import JobToRun
from runstream._runner.tracked_experiment import TrackedExperiment
from runstream._runner.tracking import find_gateway, is_elsewhere, with_tracking
from runstream.api.jobs.v1.job_pb2 import ContainerOptions

JOB = JobToRun("workspaces/space/runs/run-1", "host:7878", "holder")
GATEWAY = "https://runs.example.com"
OTHERS = {
    "MLFLOW_TRACKING_URI": "http://mlflow",
    "MLFLOW_TRACKING_USERNAME": "somebody",
    "MLFLOW_TRACKING_PASSWORD": "secret",
    "MLFLOW_TRACKING_INSECURE_TLS": "true",
    "MLFLOW_REGISTRY_URI": "http://registry",
    "MLFLOW_EXPERIMENT_ID": "7",
    "MLFLOW_RUN_ID": "other",
    "MLFLOW_WORKSPACE": "other",
}
OURS = {
    "MLFLOW_TRACKING_URI": f"{GATEWAY}/workspaces/space",
    "MLFLOW_RUN_ID": "run-1",
    "MLFLOW_EXPERIMENT_NAME": "digits",
}


def tracking(
    variables: dict[str, str], *, gateway: str = GATEWAY, job: JobToRun = JOB, chosen: Container[str] = ()
) -> dict[str, str]:
    found = with_tracking({"RUNSTREAM_EXPERIMENT": "digits", **variables}, gateway, job, chosen)
    return {name: value for name, value in found.items() if name.startswith("MLFLOW_")}


def test_they_lead_to_the_run_and_nothing_of_another_server_is_left() -> None:
    assert tracking({}) == tracking(OTHERS) == OURS


def test_they_say_how_mlflow_knows_the_experiment_where_the_gateway_has_told() -> None:
    found = with_tracking(
        {"RUNSTREAM_EXPERIMENT": "my-digits-1f"}, GATEWAY, JOB, (), TrackedExperiment("7", "my digits")
    )

    assert (found["MLFLOW_EXPERIMENT_ID"], found["MLFLOW_EXPERIMENT_NAME"]) == ("7", "my digits")


def test_the_run_token_is_shown_by_the_provider_and_as_it_was_at_first_where_that_is_not_installed() -> None:
    token = {"MLFLOW_TRACKING_AUTH": "runstream", "MLFLOW_TRACKING_TOKEN": "rsr_1"}

    assert tracking({**OTHERS, "RUNSTREAM_TOKEN": "rsr_1"}) == OURS | token


def test_a_server_that_the_run_configuration_names_is_used_instead() -> None:
    assert tracking(OTHERS, chosen={"MLFLOW_TRACKING_URI"}) == OTHERS


@pytest.mark.parametrize("run", ["odd.id", "a:b", "_a", "a" * 257])
def test_they_are_not_set_where_mlflow_would_refuse_the_id_of_the_run(run: str) -> None:
    job = JobToRun(f"workspaces/space/runs/{run}", "host:7878", "holder")

    assert tracking({}, job=job) == tracking({}, gateway="") == {}


def test_they_are_set_for_the_longest_id_that_mlflow_takes() -> None:
    job = JobToRun(f"workspaces/space/runs/{'a' * 256}", "host:7878", "holder")

    assert tracking({}, job=job)["MLFLOW_RUN_ID"] == job.run_id


def test_mlflow_trusts_the_authorities_that_the_services_are_trusted_by() -> None:
    known, cert = {"RUNSTREAM_CA_FILE": "/ca.pem"}, "MLFLOW_TRACKING_SERVER_CERT_PATH"
    own = tracking({**known, cert: "/own.pem"}, chosen={cert})

    assert tracking({**known, cert: "/other.pem"})[cert] == "/ca.pem"
    assert own[cert] == "/own.pem"
    assert cert not in tracking(known, gateway="http://host:7879")
    assert cert not in tracking(known, chosen={"MLFLOW_TRACKING_INSECURE_TLS"})


def test_a_container_finds_the_authorities_where_they_are_mounted() -> None:
    variables = {"RUNSTREAM_CA_FILE": "/ca.pem", "MLFLOW_TRACKING_SERVER_CERT_PATH": "/ca.pem"}
    container = JobContainer("docker", "image", ContainerOptions())

    command = container.wrap(["true"], Path("/jobs/1/work"), variables, 0)

    assert "MLFLOW_TRACKING_SERVER_CERT_PATH=/runstream/authorities.pem" in command
    assert command.count("/ca.pem:/runstream/authorities.pem:ro") == 1


async def test_what_the_environment_says_of_the_gateway_goes_before_what_the_services_say() -> None:
    told = {"RUNSTREAM_GATEWAY_URL": "http://gateway.ml:7879/"}

    assert await find_gateway(JOB, Connection.to(JOB.address), told) == "http://gateway.ml:7879"


@pytest.mark.parametrize("gateway", ["http://127.0.0.1:7879", "https://localhost:1", "http://[::1]:7879"])
def test_a_gateway_on_the_loopback_is_there_for_jobs_of_the_machine_of_the_services_only(gateway: str) -> None:
    assert is_elsewhere(gateway, "runs.example.com:7878")
    assert not is_elsewhere(gateway, "grpcs://127.0.0.1:7878")
    assert not is_elsewhere("https://runs.example.com", "runs.example.com:7878")
    assert not is_elsewhere("", "runs.example.com:7878")
