"""Runs by the REST interface of MLflow: made, read, changed, deleted."""

import re
from typing import Any

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1.run_pb2 import Run
from tests.conftest import Backend
from tests.gateways import Gateway
from tests.make_runs import make_run
from tests.mlflow_runs import MISSING, invalid, read_labels, read_run, start_run
from tests.stubs import run_history

INVALID = (400, "INVALID_PARAMETER_VALUE")
START = 1_700_000_000_123


def not_active(run_id: str) -> tuple[int, str, str]:
    return *INVALID, f"The run {run_id} must be in the 'active' state. Current state is deleted."


async def stored(backend: Backend, run_id: str) -> Run:
    request = messages.GetRunRequest(name=f"workspaces/space/runs/{run_id}")
    return (await run_history(backend.channel).GetRun(request)).run


async def test_a_run_is_made_and_read_back(gateway: Gateway, backend: Backend) -> None:
    tags = [{"key": "mlflow.user", "value": "ada"}, {"key": "k", "value": ""}]
    created = await gateway.post("runs/create", experiment_id="0", start_time=START, run_name="first", tags=tags)
    info = created.found()["run"]["info"]

    assert re.fullmatch("[0-9a-f]{32}", info["run_id"])
    assert info == {
        "run_id": info["run_id"],
        "run_uuid": info["run_id"],
        "run_name": "first",
        "experiment_id": "0",
        "user_id": "ada",
        "status": "RUNNING",
        "start_time": START,
        "artifact_uri": f"mlflow-artifacts:/0/{info['run_id']}/artifacts",
        "lifecycle_stage": "active",
    }
    found = await read_run(gateway, info["run_id"])
    assert found == created.body["run"]
    assert found["data"] == {
        "metrics": [],
        "params": [],
        "tags": [
            {"key": "k", "value": ""},
            {"key": "mlflow.runName", "value": "first"},
            {"key": "mlflow.user", "value": "ada"},
        ],
    }
    assert not (await stored(backend, info["run_id"])).heartbeat_enabled
    assert (await gateway.get("runs/get", run_uuid=info["run_id"])).found()["run"] == found


async def test_a_run_without_a_name_gets_one_and_one_without_a_user_has_an_unknown(gateway: Gateway) -> None:
    run = await read_run(gateway, await start_run(gateway))
    other = await read_run(
        gateway, await start_run(gateway, user_id="grace", tags=[{"key": "mlflow.user", "value": "a"}])
    )

    assert re.fullmatch(r"[a-z]+_[a-z]+_[0-9a-f]{6}", run["info"]["run_name"])
    assert run["info"]["user_id"] == "unknown"
    assert other["info"]["user_id"] == "grace"


async def test_name_and_tag_of_the_name_are_one(gateway: Gateway, backend: Backend) -> None:
    run_id = await start_run(gateway, tags=[{"key": "mlflow.runName", "value": "by tag"}])
    assert (await read_run(gateway, run_id))["info"]["run_name"] == "by tag"
    updated = await gateway.post("runs/update", run_id=run_id, run_name="by update")
    assert updated.found()["run_info"]["run_name"] == "by update"
    assert (await read_labels(gateway, run_id, "tags"))["mlflow.runName"] == "by update"
    await gateway.post("runs/set-tag", run_id=run_id, key="mlflow.runName", value="by tag again")
    assert (await read_run(gateway, run_id))["info"]["run_name"] == "by tag again"
    assert not (await stored(backend, run_id)).tags

    two = await gateway.post("runs/create", run_name="a", tags=[{"key": "mlflow.runName", "value": "b"}])
    assert two.error[:2] == INVALID
    empty = await gateway.post("runs/set-tag", run_id=run_id, key="mlflow.runName", value="")
    assert empty.error[:2] == INVALID


async def test_a_note_is_the_description_unless_it_is_too_long_for_that(gateway: Gateway, backend: Backend) -> None:
    run_id = await start_run(gateway, tags=[{"key": "mlflow.note.content", "value": "a note"}])
    assert (await stored(backend, run_id)).description == "a note"
    for note in ("n" * 5_000, "n" * 5_001, "short again"):
        await gateway.post("runs/set-tag", run_id=run_id, key="mlflow.note.content", value=note)
        assert (await read_labels(gateway, run_id, "tags"))["mlflow.note.content"] == note
        assert (await stored(backend, run_id)).description == (note if len(note) <= 5_000 else "")
    assert (await gateway.post("runs/delete-tag", run_id=run_id, key="mlflow.note.content")).found() == {}

    assert "mlflow.note.content" not in await read_labels(gateway, run_id, "tags")
    again = await gateway.post("runs/delete-tag", run_id=run_id, key="mlflow.note.content")
    assert again.error[2] == f"No tag with name: mlflow.note.content in run with id {run_id}"


async def test_a_nested_run_is_a_child_if_its_parent_can_be_one(gateway: Gateway, backend: Backend) -> None:
    parent = await start_run(gateway)
    other = (await gateway.post("experiments/create", name="other")).found()["experiment_id"]
    for experiment, named, expected in (
        ("0", parent, parent),
        (other, parent, ""),
        ("0", "nobody", ""),
        ("0", "/", ""),
    ):
        tags = [{"key": "mlflow.parentRunId", "value": named}]
        child = await start_run(gateway, experiment_id=experiment, tags=tags)
        assert (await stored(backend, child)).parent.removeprefix("workspaces/space/runs/") == expected
        assert (await read_labels(gateway, child, "tags"))["mlflow.parentRunId"] == named


@pytest.mark.parametrize(
    ("told", "status"), [("FINISHED", "FINISHED"), ("FAILED", "FAILED"), ("KILLED", "KILLED"), (3, "FINISHED")]
)
async def test_a_run_ends_once_and_may_be_resumed_without_changing_that(
    gateway: Gateway, backend: Backend, told: str | int, status: str
) -> None:
    run_id = await start_run(gateway, start_time=START)
    for _ in range(2):
        ended = await gateway.post("runs/update", run_id=run_id, status=told, end_time=START + 5_000)
        assert ended.found()["run_info"]["status"] == status
        assert ended.body["run_info"]["end_time"] == START + 5_000
    for status_again in ("RUNNING", "RUNNING", "SCHEDULED", "FINISHED", "FAILED"):
        again = await gateway.post("runs/update", run_id=run_id, status=status_again, end_time=START + 9_000)
        assert again.found() == ended.body

    [warning] = (await stored(backend, run_id)).warnings
    assert (warning.source, warning.message) == (
        "mlflow",
        "logged to again after its end; its status stays as it was",
    )


async def test_who_drives_a_run_decides_how_it_ends(gateway: Gateway, backend: Backend) -> None:
    started = await start_run(gateway)
    experiment = (await stored(backend, started)).experiment
    request = messages.CreateRunRequest(parent="workspaces/space", run_id="managed")
    request.run.CopyFrom(Run(experiment=experiment, service_managed=True))
    await run_history(backend.channel).CreateRun(request)
    for status in ("RUNNING", "FINISHED", "FAILED", "KILLED"):
        answer = await gateway.post("runs/update", run_id="managed", status=status)
        assert answer.found()["run_info"]["status"] == "SCHEDULED"


async def test_a_run_of_the_sdk_is_shown_with_its_marks_and_where_its_code_comes_from(
    gateway: Gateway, backend: Backend
) -> None:
    name = await make_run(backend.channel, "a.run:1")
    properties = {"mlflow.source.git.commit": "abc", "azureml.git.commit": "abc", "params.lr": "0.1"}
    history = run_history(backend.channel)
    await history.AddProperties(messages.AddPropertiesRequest(name=name, properties=properties))
    await history.ModifyTags(messages.ModifyTagsRequest(name=name, set=[{"key": "mark"}]))  # type: ignore[list-item]

    found = await read_run(gateway, "a.run:1")
    tags = {each["key"]: each["value"] for each in found["data"]["tags"]}
    assert tags == {"mark": "", "mlflow.source.git.commit": "abc", "mlflow.runName": found["info"]["run_name"]}
    assert found["data"]["params"] == [{"key": "lr", "value": "0.1"}]
    refused = await gateway.post("runs/delete-tag", run_id="a.run:1", key="mlflow.source.git.commit")
    assert refused.error[:2] == INVALID


async def test_a_deleted_run_is_read_and_restored_but_not_written_to(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    for _ in range(2):
        assert (await gateway.post("runs/delete", run_id=run_id)).found() == {}
    assert (await read_run(gateway, run_id))["info"]["lifecycle_stage"] == "deleted"
    metric: dict[str, Any] = {"key": "m", "value": 1, "timestamp": 1}
    writes: dict[str, dict[str, Any]] = {
        "runs/update": {"status": "FINISHED"},
        "runs/log-metric": metric,
        "runs/log-parameter": {"key": "p", "value": "1"},
        "runs/set-tag": {"key": "t", "value": "1"},
        "runs/delete-tag": {"key": "mlflow.runName"},
        "runs/log-batch": {},
        "runs/log-model": {"model_json": '{"artifact_path": "", "flavors": {}, "run_id": "", "utc_time_created": ""}'},
    }
    for endpoint, fields in writes.items():
        assert (await gateway.post(endpoint, run_id=run_id, **fields)).error == not_active(run_id), endpoint
    for fields in ({"metrics": [metric]}, {"params": [{"key": "p"}]}, {"tags": [{"key": "t"}]}):
        assert (await gateway.post("runs/log-batch", run_id=run_id, **fields)).error == not_active(run_id), fields
    for _ in range(2):
        assert (await gateway.post("runs/restore", run_id=run_id)).found() == {}
    assert (await gateway.post("runs/log-metric", run_id=run_id, **metric)).found() == {}
    await gateway.post("runs/delete", run_id=run_id)
    assert (await gateway.post("runs/log-metric", run_id=run_id, **metric)).error == not_active(run_id)


ABOUT_RUNS: list[tuple[str, dict[str, Any]]] = [
    ("runs/update", {}),
    ("runs/delete", {}),
    ("runs/restore", {}),
    ("runs/log-metric", {"key": "m", "value": 1, "timestamp": 1}),
    ("runs/log-parameter", {"key": "p"}),
    ("runs/set-tag", {"key": "t"}),
    ("runs/delete-tag", {"key": "t"}),
    ("runs/log-batch", {}),
    ("runs/log-batch", {"tags": [{"key": "mlflow.runName", "value": "x"}]}),
]


async def test_a_run_that_is_not_there_is_told_so(gateway: Gateway) -> None:
    for endpoint, fields in ABOUT_RUNS:
        for run_id in ("0" * 32, "../x", "a/b"):
            answer = await gateway.post(endpoint, run_id=run_id, **fields)
            assert answer.error == (404, "RESOURCE_DOES_NOT_EXIST", f"Run with id={run_id} not found"), endpoint
        assert (await gateway.post(endpoint, **fields)).error == (*INVALID, MISSING.format("run_id"))
    assert (await gateway.get("runs/get", run_id="x")).error[2] == "Run with id=x not found"


STATUSES = "expected one of RUNNING, SCHEDULED, FINISHED, FAILED, KILLED"
TIMES = "expected milliseconds since the epoch, before the year 10000"


WRONG: list[tuple[str, dict[str, Any], tuple[int, str, str]]] = [
    ("create", {"start_time": -1}, invalid("start_time", "-1", TIMES)),
    ("create", {"user_id": 5}, invalid("user_id", "5", "expected a string")),
    ("create", {"tags": [{"value": "v"}]}, (*INVALID, MISSING.format("tags[0].key"))),
    ("create", {"tags": {}}, invalid("tags", "{}", "expected a list of objects")),
    ("create", {"run_name": "n" * 257}, (*INVALID, "The name of a run has up to 256 characters; got 257.")),
    ("update", {"run_id": "x", "status": "DONE"}, invalid("status", '"DONE"', STATUSES)),
    ("update", {"run_id": "x", "status": 9}, invalid("status", "9", STATUSES)),
    ("update", {"run_id": "x", "runId": "x"}, (*INVALID, "'run_id' and 'runId' are the same parameter; send one")),
]


async def test_wrong_requests_about_runs_are_told_so(gateway: Gateway) -> None:
    for endpoint, fields, error in WRONG:
        status, code, message = (await gateway.post(f"runs/{endpoint}", **fields)).error
        assert (status, code) == error[:2], (endpoint, fields)
        assert message.startswith(error[2])


async def test_a_run_name_has_up_to_256_characters_and_a_tag_8_000(gateway: Gateway) -> None:
    tags = [{"key": "k", "value": "v" * 8_000}]
    await start_run(gateway, run_name="n" * 256, tags=tags)

    tags[0]["value"] += "v"
    assert (await gateway.post("runs/create", tags=tags)).error[:2] == INVALID
