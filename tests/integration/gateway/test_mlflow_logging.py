"""Metrics, params and tags by the REST interface of MLflow."""

import asyncio
import json
from typing import Any

import pytest

from runstream.api.metrics.v1 import metrics_service_pb2 as metrics
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway, open_gateway
from tests.logged_models import Models
from tests.mlflow_runs import MISSING, invalid, labels, metric, read_history, read_labels, read_run, start_run

INVALID = (400, "INVALID_PARAMETER_VALUE")
NOT_THERE = (404, "RESOURCE_DOES_NOT_EXIST")
CHARACTERS = "expected letters, digits, '_', '-', '.', '/', ':' and spaces"
RELATIVE = "expected a name that stays the same when it is read as a relative path"
MODEL = {"artifact_path": "model", "flavors": {"python": {}}, "run_id": "r", "utc_time_created": "now"}


async def values(gateway: Gateway, run_id: str, key: str = "loss") -> list[Any]:
    return [each["value"] for each in (await read_history(gateway, run_id, key))["metrics"]]


async def test_the_latest_value_of_a_metric_is_that_at_its_greatest_step(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    logged = [metric(value=1, step=5), metric(value=2, step=5, timestamp=2_000), metric(value=3, step=1, timestamp=9)]
    for each in (*logged, metric("nan", "NaN")):
        assert (await gateway.post("runs/log-metric", run_id=run_id, **each)).found() == {}

    assert (await read_run(gateway, run_id))["data"]["metrics"] == [
        {"key": "loss", "value": 2.0, "timestamp": 2_000, "step": 5},
        {"key": "nan", "value": "NaN", "timestamp": 1_000, "step": 0},
    ]


async def test_a_value_that_is_sent_again_is_stored_once_also_by_another_gateway(
    gateway: Gateway, replica: Backend
) -> None:
    run_id = await start_run(gateway)
    batch = [metric(value=value, step=step) for step in (0, 1) for value in (1, "NaN", "Infinity")]
    model = await Models(gateway, "0").make(source_run_id=run_id)
    async with open_gateway(replica.channel) as other:
        for each in (gateway, other, gateway):
            assert (await each.post("runs/log-batch", run_id=run_id, metrics=[*batch, *batch])).found() == {}
            for value in ("NaN", 7, -0.0):
                one = metric("one", value, model_id=model)
                assert (await each.post("runs/log-metric", run_id=run_id, **one)).found() == {}
            assert (await each.post("runs/log-metric", run_id=run_id, **metric("one", 0.0))).found() == {}

    assert await values(gateway, run_id) == [1.0, "Infinity", "NaN"] * 2
    assert await values(gateway, run_id, "one") == [0.0, 7.0, "NaN"]


async def test_what_others_logged_is_known_by_what_mlflow_is_told_of_it(gateway: Gateway, backend: Backend) -> None:
    """`mlflow.sklearn.log_model` sends the metrics of the run at its step once more, to name the model."""
    run_id, times = await start_run(gateway), [1_234_567, 9_999_999]
    series = [
        metrics.SeriesColumns(metric="i", times=times, int64s=metrics.Int64Values(values=[1, 2])),
        metrics.SeriesColumns(metric="d", times=times, doubles=metrics.DoubleValues(values=[0.1, 0.2])),
        metrics.SeriesColumns(metric="b", times=times, bools=metrics.BoolValues(values=[True, False])),
        metrics.SeriesColumns(metric="far", times=[*range(1_000_999, 7_000_000_999, 1_000_000)]),
    ]
    series[-1].doubles.values.extend([0.5] * 7_000)
    batch = metrics.MetricBatch(sequence=1, series=series)
    request = metrics.LogMetricsRequest(run=f"workspaces/space/runs/{run_id}", writer="w", batch=batch)
    await stubs.metrics(backend.channel).LogMetrics(request)
    keys = [each.metric for each in series]
    before = {key: (await read_history(gateway, run_id, key))["metrics"] for key in keys}

    again = [{**each, "key": key} for key in keys for each in before[key][:2]]
    (await gateway.post("runs/log-batch", run_id=run_id, metrics=again)).found()

    assert {key: (await read_history(gateway, run_id, key))["metrics"] for key in keys} == before


async def test_many_at_once_store_what_they_repeat_once(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    calls = [gateway.post("runs/log-metric", run_id=run_id, **metric(value=number % 5, step=1)) for number in range(20)]

    assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
    assert await values(gateway, run_id) == [0.0, 1.0, 2.0, 3.0, 4.0]


async def test_params_are_kept_and_never_change(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    params = {"lr": "0.1", "a/b:c d": "", "k" * 250: "v" * 6_000}
    for key, value in [*params.items(), *params.items()]:
        assert (await gateway.post("runs/log-parameter", run_id=run_id, key=key, value=value)).found() == {}
    assert (await gateway.post("runs/log-batch", run_id=run_id, params=[{"key": "lr", "value": "0.1"}])).found() == {}
    assert await read_labels(gateway, run_id, "params") == params

    text = (
        "Changing param values is not allowed. Param with key='{}' was already logged with value='{}' for run ID='"
        + run_id
        + "'. Attempted logging new value 'other'."
    )
    for key, old in params.items():
        answer = await gateway.post("runs/log-parameter", run_id=run_id, key=key, value="other")
        assert answer.error == (*INVALID, text.format(key, old))
        batch: dict[str, Any] = {"params": [{"key": "new", "value": "1"}, {"key": key, "value": "other"}]}
        for more in ({}, {"metrics": [metric()]}, {"tags": labels(1)}):
            answer = await gateway.post("runs/log-batch", run_id=run_id, **(batch | more))
            assert answer.error == (*INVALID, text.format(key, old))
    data = (await read_run(gateway, run_id))["data"]
    assert [each["key"] for each in data["tags"]] == ["mlflow.runName"]
    assert (len(data["params"]), data["metrics"]) == (3, [])


async def test_tags_are_overwritten_and_deleted(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    for value in ("1", "1", "v" * 8_000, ""):
        assert (await gateway.post("runs/set-tag", run_id=run_id, key="t", value=value)).found() == {}
        assert (await read_labels(gateway, run_id, "tags"))["t"] == value
    assert (await gateway.post("runs/delete-tag", run_id=run_id, key="t")).found() == {}

    again = await gateway.post("runs/delete-tag", run_id=run_id, key="t")
    assert again.error == (*NOT_THERE, f"No tag with name: t in run with id {run_id}")
    named = await gateway.post("runs/delete-tag", run_id=run_id, key="mlflow.runName")
    assert named.error[:2] == INVALID


async def test_a_batch_stores_everything_or_if_any_of_it_is_wrong_nothing(gateway: Gateway, backend: Backend) -> None:
    run_id = await start_run(gateway)
    good: dict[str, Any] = {"metrics": [metric()], "params": labels(2), "tags": labels(2)}
    wrong: list[dict[str, Any]] = [
        {"metrics": [metric(), {"key": "m", "timestamp": 1}]},
        {"params": [*labels(2), {"key": "k0", "value": "v"}]},
        {"tags": [{"key": "../x"}]},
        {"tags": [{"key": "mlflow.runName", "value": "n" * 257}]},
        {"metrics": [metric(), metric("table")]},
    ]
    table = metrics.SeriesColumns(metric="table", times=[1], table=metrics.TableValues(row_count=1))
    request = metrics.LogMetricsRequest(run=f"workspaces/space/runs/{run_id}", writer="w")
    request.batch.CopyFrom(metrics.MetricBatch(sequence=1, series=[table]))
    await stubs.metrics(backend.channel).LogMetrics(request)
    empty = (await read_run(gateway, run_id))["data"]
    for part in wrong:
        assert (await gateway.post("runs/log-batch", run_id=run_id, **(good | part))).error[:2] == INVALID, part
        assert (await read_run(gateway, run_id))["data"] == empty
    assert (await gateway.post("runs/log-metric", run_id=run_id, **metric("table"))).error[:2] == INVALID

    for _ in range(2):
        assert (await gateway.post("runs/log-batch", run_id=run_id, **good)).found() == {}
    data = (await read_run(gateway, run_id))["data"]
    assert {kind: len(data[kind]) for kind in data} == {"metrics": 1, "params": 2, "tags": 3}


async def test_a_batch_has_its_bounds(gateway: Gateway) -> None:
    run_id = await start_run(gateway)

    async def batch(metric_count: int, param_count: int, tag_count: int) -> tuple[int, str]:
        points = [metric(step=step) for step in range(metric_count)]
        sent: dict[str, Any] = {"metrics": points, "params": labels(param_count), "tags": labels(tag_count)}
        answer = await gateway.post("runs/log-batch", run_id=run_id, **sent)
        return answer.status, answer.body.get("message", "")

    assert await batch(1_001, 0, 0) == (400, "A batch has up to 1000 metrics; got 1001. Send several batches.")
    assert await batch(0, 101, 0) == (400, "A batch has up to 100 params; got 101. Send several batches.")
    assert await batch(0, 0, 101) == (400, "A batch has up to 100 tags; got 101. Send several batches.")
    assert await batch(801, 100, 100) == (400, "A batch has up to 1000 metrics, params and tags together; got 1001.")
    assert (await read_run(gateway, run_id))["data"]["metrics"] == []
    assert await batch(800, 100, 100) == (200, "")
    assert await batch(1_000, 0, 0) == (200, "")
    assert len(await values(gateway, run_id)) == 1_000


async def test_the_body_of_a_batch_has_up_to_a_megabyte(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    path, body = "/api/2.0/mlflow/runs/log-batch", json.dumps({"run_id": run_id, "metrics": [metric()]}).encode()
    headers = {"Content-Type": "application/json; charset=utf-8"}
    too_large = await gateway.request("POST", path, data=body.ljust(1_000_001), headers=headers)
    assert too_large.error == (*INVALID, "the body has more than 1000000 bytes")
    assert await values(gateway, run_id) == []

    assert (await gateway.request("POST", path, data=body.ljust(1_000_000), headers=headers)).found() == {}


async def test_a_run_has_up_to_a_thousand_params_and_tags(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    for start in range(0, 1_000, 100):
        batch = [{"key": f"k{number}", "value": ""} for number in range(start, start + 100)]
        assert (await gateway.post("runs/log-batch", run_id=run_id, params=batch, tags=batch)).found() == {}

    one_more = [{"key": "one more", "value": ""}]
    for kinds in (("params",), ("tags",), ("params", "tags"), ("metrics", "tags")):
        sent: dict[str, Any] = {kind: [metric()] if kind == "metrics" else one_more for kind in kinds}
        assert (await gateway.post("runs/log-batch", run_id=run_id, **sent)).error[:2] == INVALID, kinds
    data = (await read_run(gateway, run_id))["data"]
    assert {kind: len(data[kind]) for kind in data} == {"metrics": 0, "params": 1_000, "tags": 1_001}


async def test_models_of_old_clients_are_noted_once_each(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    for path in ("a", "a", "b"):
        sent = json.dumps(MODEL | {"artifact_path": path})
        assert (await gateway.post("runs/log-model", run_id=run_id, model_json=sent)).found() == {}
    history = json.loads((await read_labels(gateway, run_id, "tags"))["mlflow.log-model.history"])

    assert history == [MODEL | {"artifact_path": "a"}, MODEL | {"artifact_path": "b"}]
    for sent, start in (("", "Missing value"), ("[", "Invalid value"), ('{"flavors": {}}', "Invalid value")):
        answer = await gateway.post("runs/log-model", run_id=run_id, model_json=sent)
        assert answer.error[:2] == INVALID
        assert answer.error[2].startswith(start)
    nearly_all = json.dumps(MODEL | {"artifact_path": "p" * 9_000})
    for _ in range(2):
        assert (await gateway.post("runs/log-model", run_id=run_id, model_json=nearly_all)).found() == {}
    large = json.dumps(MODEL | {"artifact_path": "p" * 10_000})
    assert (await gateway.post("runs/log-model", run_id=run_id, model_json=large)).error[:2] == INVALID


def wrong_requests() -> list[tuple[str, dict[str, Any], tuple[int, str, str]]]:
    def missing(parameter: str) -> tuple[int, str, str]:
        return *INVALID, MISSING.format(parameter)

    number = "expected a number"
    one = {"key": "m", "value": 1, "timestamp": 1}
    return [
        ("log-metric", {**one, "key": ""}, missing("key")),
        ("log-metric", {**one, "value": None}, missing("value")),
        ("log-metric", {"key": "m", "value": 1}, missing("timestamp")),
        ("log-metric", {**one, "value": "high"}, invalid("value", '"high"', number)),
        ("log-metric", {**one, "value": True}, invalid("value", "true", number)),
        ("log-metric", {**one, "step": "x"}, invalid("step", '"x"', "expected a whole number of 64 bits")),
        ("log-metric", {**one, "step": 2**63}, invalid("step", str(2**63), "expected a whole number of 64 bits")),
        ("log-metric", {**one, "timestamp": 2**60}, invalid("timestamp", str(2**60), "expected milliseconds")),
        ("log-metric", {**one, "key": "a%b"}, invalid("key", '"a%b"', CHARACTERS)),
        ("log-parameter", {"value": "v"}, missing("key")),
        ("log-parameter", {"key": "p", "value": 5}, invalid("value", "5", "expected a string")),
        ("set-tag", {}, missing("key")),
        ("delete-tag", {}, missing("key")),
        ("log-batch", {"metrics": [one, {**one, "key": None}]}, missing("metrics[1].name")),
        ("log-batch", {"metrics": [{**one, "key": "a//b"}]}, invalid("metrics[0].name", '"a//b"', RELATIVE)),
        ("log-batch", {"metrics": [{**one, "value": "x"}]}, invalid("metrics[0].value", '"x"', number)),
        ("log-batch", {"metrics": [{"key": "m", "value": 1}]}, missing("metrics[0].timestamp")),
        ("log-batch", {"params": [*labels(2), {"key": "/a"}]}, invalid("params[2].key", '"/a"', RELATIVE)),
        ("log-batch", {"tags": [*labels(1), {"key": "a\nb"}]}, invalid("tags[1].key", '"a\\nb"', CHARACTERS)),
        ("log-batch", {"params": [*labels(1), *labels(1)]}, (*INVALID, "The batch has param 'k0' twice")),
        ("log-batch", {"metrics": 5}, invalid("metrics", "5", "expected a list of objects")),
    ]  # fmt: skip


async def test_wrong_requests_to_log_are_told_so(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    for endpoint, fields, error in wrong_requests():
        status, code, message = (await gateway.post(f"runs/{endpoint}", run_id=run_id, **fields)).error
        assert (status, code) == error[:2], (endpoint, fields)
        assert message.startswith(error[2])


async def test_keys_and_values_have_their_bounds(gateway: Gateway) -> None:
    run_id = await start_run(gateway)
    bounds: dict[str, tuple[dict[str, Any], int]] = {
        "log-metric": ({"value": 1, "timestamp": 1}, 0),
        "log-parameter": ({}, 6_000),
        "set-tag": ({}, 8_000),
    }
    for endpoint, (fields, most) in bounds.items():
        for key in ("k" * 250, "été/1.5:x y-z_"):
            assert (await gateway.post(f"runs/{endpoint}", run_id=run_id, key=key, **fields)).status == 200
        for key in ("k" * 251, ".", "..", "./a", "../a", "/a", "//a", "a/", "a//b", "a/../b", "a\\b", "a\0"):
            assert (await gateway.post(f"runs/{endpoint}", run_id=run_id, key=key, **fields)).error[:2] == INVALID, key
        if most:
            too_long = await gateway.post(f"runs/{endpoint}", run_id=run_id, key="long", value="v" * (most + 1))
            assert too_long.error[2].endswith(f"supplied: expected up to {most} characters, got {most + 1}")
            assert (await gateway.post(f"runs/{endpoint}", run_id=run_id, key="long", value="v" * most)).status == 200


@pytest.mark.parametrize("spelling", ["runId", "run_uuid", "runUuid"])
async def test_other_spellings_of_parameters_are_taken(gateway: Gateway, spelling: str) -> None:
    run_id = await start_run(gateway)
    sent: dict[str, Any] = {spelling: run_id, "key": "m", "value": "1.5", "timestamp": "7", "step": "3", "unknown": {}}
    assert (await gateway.post("runs/log-metric", **sent)).found() == {}

    [found] = (await read_history(gateway, run_id, "m"))["metrics"]
    assert found == {"key": "m", "value": 1.5, "timestamp": 7, "step": 3}
