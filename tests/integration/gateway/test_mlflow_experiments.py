"""Experiments by the REST interface of MLflow."""

from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.experiment_pb2 import Experiment
from tests.conftest import Backend
from tests.gateways import Answered, Gateway
from tests.mlflow_runs import MISSING, invalid, read_run, start_run
from tests.stubs import run_history

INVALID = (400, "INVALID_PARAMETER_VALUE")
NOT_THERE = (404, "RESOURCE_DOES_NOT_EXIST")
TAKEN = (400, "RESOURCE_ALREADY_EXISTS")
ODD_NAME = "/Users/ada@example.com/été (2)"
NOT_ACTIVE = "The experiment {} must be in the 'active' state. Current state is deleted."


async def create(gateway: Gateway, name: str, **fields: Any) -> str:
    return str((await gateway.post("experiments/create", name=name, **fields)).found()["experiment_id"])


async def by_id(gateway: Gateway, experiment_id: str) -> Any:
    return (await gateway.get("experiments/get", experiment_id=experiment_id)).found()["experiment"]


async def by_name(gateway: Gateway, name: str) -> Answered:
    return await gateway.get("experiments/get-by-name", experiment_name=name)


@pytest.mark.parametrize("name", ["plain", ODD_NAME, "n" * 500])
async def test_an_experiment_is_found_by_its_name_and_by_its_number(gateway: Gateway, name: str) -> None:
    tags = [{"key": "team", "value": "vision"}, {"key": "empty", "value": ""}]
    assert (await by_name(gateway, name)).error == (*NOT_THERE, f"Could not find experiment with name '{name}'")
    number = await create(gateway, name, tags=tags)

    found = await by_id(gateway, number)
    assert found == (await by_name(gateway, name)).found()["experiment"]
    assert (found["name"], found["lifecycle_stage"]) == (name, "active")
    assert found["tags"] == [{"key": "empty", "value": ""}, {"key": "team", "value": "vision"}]
    assert found["artifact_location"] == f"mlflow-artifacts:/{number}"
    assert int(number) > 0 < found["creation_time"] <= found["last_update_time"]
    again = await gateway.post("experiments/create", name=name)
    assert again.error == (*TAKEN, f"Experiment(name={name}) already exists.")


async def test_an_odd_name_is_found_by_what_other_clients_see_of_it(gateway: Gateway, backend: Backend) -> None:
    created = (await gateway.post("experiments/create", name=ODD_NAME)).found()["experiment_id"]
    listed = await run_history(backend.channel).ListExperiments(
        messages.ListExperimentsRequest(parent="workspaces/space")
    )
    (shown,) = [each.display_name for each in listed.experiments if each.display_name.startswith("Users")]

    found = (await gateway.get("experiments/get-by-name", experiment_name=shown)).found()["experiment"]

    assert (found["experiment_id"], found["name"]) == (created, ODD_NAME)


async def test_default_is_there_and_has_the_number_0(gateway: Gateway) -> None:
    assert (await by_name(gateway, "Default")).found()["experiment"]["experiment_id"] == "0"
    assert (await by_id(gateway, "0"))["name"] == "Default"
    assert (await gateway.post("experiments/create", name="Default")).error[:2] == TAKEN
    assert (await read_run(gateway, await start_run(gateway)))["info"]["experiment_id"] == "0"
    await gateway.post("experiments/update", experiment_id="0", new_name="renamed")
    assert (await by_name(gateway, "Default")).error[:2] == NOT_THERE


async def test_default_is_made_again_once_somebody_removed_it_for_good(gateway: Gateway, backend: Backend) -> None:
    assert (await by_id(gateway, "0"))["name"] == "Default"
    await gateway.post("experiments/set-experiment-tag", experiment_id="0", key="first", value="yes")
    history = run_history(backend.channel)
    (default,) = (await history.ListExperiments(messages.ListExperimentsRequest(parent="workspaces/space"))).experiments
    await history.DeleteExperiment(messages.DeleteExperimentRequest(name=default.name))

    assert (await by_name(gateway, "Default")).found()["experiment"]["experiment_id"] == "0"
    assert (await by_id(gateway, "0"))["tags"] == []
    assert (await read_run(gateway, await start_run(gateway)))["info"]["experiment_id"] == "0"


async def test_an_odd_name_goes_when_somebody_else_renames_the_experiment(gateway: Gateway, backend: Backend) -> None:
    number = await create(gateway, ODD_NAME)
    history = run_history(backend.channel)
    listed = await history.ListExperiments(messages.ListExperimentsRequest(parent="workspaces/space"))
    changed = Experiment(name=listed.experiments[0].name, display_name="plain")
    request = messages.UpdateExperimentRequest(experiment=changed, update_mask=FieldMask(paths=["display_name"]))
    await history.UpdateExperiment(request)

    assert (await by_id(gateway, number))["name"] == "plain"
    assert (await by_name(gateway, ODD_NAME)).error[:2] == NOT_THERE
    assert await create(gateway, ODD_NAME) != number


async def test_an_artifact_location_is_kept_and_shown(gateway: Gateway) -> None:
    number = await create(gateway, "elsewhere", artifact_location="s3://bucket/files")

    assert (await by_id(gateway, number))["artifact_location"] == "s3://bucket/files"
    run = await read_run(gateway, await start_run(gateway, experiment_id=number))
    assert run["info"]["artifact_uri"] == f"mlflow-artifacts:/{number}/{run['info']['run_id']}/artifacts"


async def test_names_of_deleted_experiments_stay_taken_and_their_runs_follow_them(gateway: Gateway) -> None:
    number = await create(gateway, ODD_NAME)
    run = await start_run(gateway, experiment_id=number)
    for _ in range(2):
        assert (await gateway.post("experiments/delete", experiment_id=number)).found() == {}

    assert (await by_name(gateway, ODD_NAME)).found()["experiment"]["lifecycle_stage"] == "deleted"
    assert (await gateway.post("experiments/create", name=ODD_NAME)).error[:2] == TAKEN
    assert (await read_run(gateway, run))["info"]["lifecycle_stage"] == "deleted"
    refused = {
        "runs/create": {},
        "experiments/update": {"new_name": "x"},
        "experiments/set-experiment-tag": {"key": "k", "value": "v"},
        "experiments/delete-experiment-tag": {"key": "k"},
    }
    for endpoint, fields in refused.items():
        answer = await gateway.post(endpoint, experiment_id=number, **fields)
        assert answer.error == (*INVALID, NOT_ACTIVE.format(number)), endpoint
    assert (await gateway.post("runs/set-tag", run_id=run, key="k", value="v")).error[:2] == INVALID
    for _ in range(2):
        assert (await gateway.post("experiments/restore", experiment_id=number)).found() == {}
    assert (await read_run(gateway, run))["info"]["lifecycle_stage"] == "active"


@pytest.mark.parametrize(("old", "new"), [("a", "b"), ("a", ODD_NAME), (ODD_NAME, "a"), (ODD_NAME, "Ω")])
async def test_an_experiment_is_renamed(gateway: Gateway, old: str, new: str) -> None:
    number, other = await create(gateway, old), await create(gateway, "other")
    for _ in range(2):
        assert (await gateway.post("experiments/update", experiment_id=number, new_name=new)).found() == {}

    assert (await by_name(gateway, new)).found()["experiment"]["experiment_id"] == number
    assert (await by_name(gateway, old)).status == 404
    answer = await gateway.post("experiments/update", experiment_id=other, new_name=new)
    assert answer.error == (*TAKEN, f"Experiment(name={new}) already exists.")
    assert await create(gateway, old) not in (number, other)


async def test_what_a_crash_left_of_an_odd_name_is_taken_up(gateway: Gateway, backend: Backend) -> None:
    number = await create(gateway, ODD_NAME)
    history = run_history(backend.channel)
    listed = await history.ListExperiments(messages.ListExperimentsRequest(parent="workspaces/space"))
    shown = listed.experiments[0].display_name
    await gateway.post("experiments/update", experiment_id=number, new_name="away")
    left = Experiment(display_name=shown)
    await history.CreateExperiment(messages.CreateExperimentRequest(parent="workspaces/space", experiment=left))

    made = await create(gateway, ODD_NAME, artifact_location="s3://bucket")
    assert (await by_id(gateway, made))["name"] == ODD_NAME
    assert (await by_id(gateway, made))["artifact_location"] == "s3://bucket"


async def test_experiments_of_the_run_history_have_numbers_too(gateway: Gateway, backend: Backend) -> None:
    history = run_history(backend.channel)
    request = messages.CreateExperimentRequest(parent="workspaces/space", experiment=Experiment(display_name="sdk"))
    made = (await history.CreateExperiment(request)).experiment
    number = (await by_name(gateway, "sdk")).found()["experiment"]["experiment_id"]
    await history.DeleteExperiment(messages.DeleteExperimentRequest(name=made.name))

    assert (await by_name(gateway, "sdk")).status == 404
    gone = await gateway.get("experiments/get", experiment_id=number)
    assert gone.error == (*NOT_THERE, f"No Experiment with id={number} exists")
    assert await create(gateway, "sdk") != number


async def test_tags_of_experiments_are_set_and_deleted(gateway: Gateway) -> None:
    number = await create(gateway, "e")
    tag = {"experiment_id": number, "key": "a/b c:d", "value": "v" * 20_000}
    for _ in range(2):
        assert (await gateway.post("experiments/set-experiment-tag", **tag)).found() == {}
    assert (await by_id(gateway, number))["tags"] == [{"key": "a/b c:d", "value": "v" * 20_000}]
    too_long = await gateway.post("experiments/set-experiment-tag", **(tag | {"value": "v" * 20_001}))
    assert too_long.error[:2] == INVALID
    assert (await gateway.post("experiments/delete-experiment-tag", experiment_id=number, key="a/b c:d")).found() == {}

    answer = await gateway.post("experiments/delete-experiment-tag", experiment_id=number, key="a/b c:d")
    assert answer.error == (*NOT_THERE, f"No tag with name: a/b c:d in experiment with id {number}")


WRONG: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("experiments/create", {}, (*INVALID, MISSING.format("name"))),
    ("experiments/create", {"name": ""}, (*INVALID, MISSING.format("name"))),
    ("experiments/create", {"name": None}, (*INVALID, MISSING.format("name"))),
    ("experiments/create", {"name": 7}, invalid("name", "7", "expected a string")),
    ("experiments/update", {"experiment_id": "0"}, (*INVALID, MISSING.format("new_name"))),
    ("experiments/update", {"new_name": "x"}, (*INVALID, MISSING.format("experiment_id"))),
    ("experiments/delete", {"experiment_id": "77"}, (*NOT_THERE, "No Experiment with id=77 exists")),
    ("experiments/restore", {"experiment_id": "x"}, (*NOT_THERE, "No Experiment with id=x exists")),
    ("experiments/set-experiment-tag", {"experiment_id": "0"}, (*INVALID, MISSING.format("key"))),
    ("runs/create", {"experiment_id": "77"}, (*NOT_THERE, "No Experiment with id=77 exists")),
]


async def test_wrong_requests_about_experiments_are_told_so(gateway: Gateway) -> None:
    for endpoint, fields, error in WRONG:
        assert (await gateway.post(endpoint, **fields)).error == error, (endpoint, fields)


async def test_a_name_has_up_to_500_characters(gateway: Gateway) -> None:
    for endpoint, field in (("experiments/create", "name"), ("experiments/update", "new_name")):
        answer = await gateway.post(endpoint, experiment_id="0", **{field: "n" * 501})
        assert answer.error[:2] == INVALID
        assert answer.error[2].endswith(f"for parameter '{field}' supplied: expected up to 500 characters, got 501")
