"""Logged models: made, shown, changed, deleted, and their files."""

import math
from typing import Any

import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream.api.runs.v1 import run_pb2
from runstream_server.gateway.mlflow.errors import MlflowError
from runstream_server.postgres import Postgres
from tests import stubs
from tests.conftest import Backend
from tests.gateway_files import Files, files_of
from tests.gateways import Gateway
from tests.logged_models import Logged, Models, model_metrics

NONE = f"m-{'0' * 32}"


def labels(**pairs: str) -> list[dict[str, str]]:
    """Tags or params as they travel."""
    return [{"key": key, "value": value} for key, value in pairs.items()]


async def test_a_model_of_a_run_is_made_and_becomes_ready(models: Models, gateway: Gateway) -> None:
    made = await models.make(
        name="wine", model_type="classifier", source_run_id="run", params=labels(depth="3"), tags=labels(stage="x")
    )
    model = await models.get(made)

    assert made.startswith("m-")
    assert len(made) == 34
    assert (model["name"], model["model_type"], model["source_run_id"]) == ("wine", "classifier", "run")
    assert (model["status"], model["experiment_id"]) == ("LOGGED_MODEL_PENDING", models.experiment_id)
    assert (model["params"], model["tags"], model["metrics"]) == (labels(depth="3"), labels(stage="x"), [])
    assert model["artifact_uri"] == f"mlflow-artifacts:/{models.experiment_id}/models/{made}/artifacts"
    assert model["creation_timestamp_ms"] == model["last_updated_timestamp_ms"]
    for status, told in (("LOGGED_MODEL_READY", "LOGGED_MODEL_READY"), (3, "LOGGED_MODEL_UPLOAD_FAILED")):
        ended = (await gateway.post(f"logged-models/{made}", "PATCH", model_id=made, status=status)).found()
        assert ended["model"]["info"]["status"] == told
    for other in ("LOGGED_MODEL_PENDING", "READY?", 0, [2], None):
        refused = await gateway.post(f"logged-models/{made}", "PATCH", model_id=made, status=other)
        assert refused.error[:2] == (400, "INVALID_PARAMETER_VALUE")


async def test_a_model_without_a_run_gets_a_hidden_one(models: Models, backend: Backend) -> None:
    made = await models.make()
    model = await models.get(made)
    request = messages.GetRunRequest(name=f"workspaces/space/runs/{made}")
    run = (await stubs.run_history(backend.channel).GetRun(request)).run

    assert "source_run_id" not in model
    assert model["name"] == f"model-{made[2:10]}"
    assert (run.hidden, run.run_type, run.status) == (True, "mlflow.model", run_pb2.RUN_STATUS_COMPLETED)
    files = models.files(made)
    (await files.put("MLmodel", b"flavors")).found()
    assert await files.content("MLmodel") == b"flavors"


async def test_the_files_of_a_model_are_listed_with_the_model_only(
    models: Models, gateway: Gateway, files: Files
) -> None:
    made = await models.make(source_run_id="run")
    of_model = models.files(made)
    for path in ("MLmodel", "code/a.py", "code/b/c.py"):
        (await of_model.put(path, b"12")).found()
    await files.put("plot.png", b"1")

    assert await files.listed() == [("plot.png", 1)]
    assert await files.listed("models") == []
    await files.put("models/m-mine/x", b"1")
    await files.put(f"models/{NONE}/x", b"1")
    assert await files.listed() == [("models", None), ("plot.png", 1)]
    assert await files.listed("models") == [(NONE, None), ("m-mine", None)]
    assert [each["path"] for each in (await gateway.get("artifacts/list", run_id="run")).found()["files"]] == [
        "models",
        "plot.png",
    ]
    assert await of_model.listed() == [("MLmodel", 2), ("code", None)]
    assert await of_model.listed("code") == [("a.py", 2), ("b", None)]
    directory = f"logged-models/{made}/artifacts/directories"
    root = (await gateway.get(directory)).found()
    assert root["root_uri"] == f"mlflow-artifacts:/{of_model.root}"
    assert root["files"] == [{"path": "MLmodel", "is_dir": False, "file_size": 2}, {"path": "code", "is_dir": True}]
    code = (await gateway.get(directory, artifact_directory_path="code")).found()
    assert [each["path"] for each in code["files"]] == ["code/a.py", "code/b"]
    assert (await gateway.get(directory, artifact_directory_path="../x")).error[2] == "Invalid path"
    (await files.delete("")).found()
    assert await files.listed() == []
    assert await of_model.content("code/b/c.py") == b"12"
    (await of_model.delete("code")).found()
    assert await of_model.listed() == [("MLmodel", 2)]
    (await of_model.delete("")).found()
    assert await of_model.listed() == []


async def test_tags_are_set_and_deleted(models: Models, gateway: Gateway) -> None:
    made = await models.make(tags=labels(a="1"))
    for _ in range(2):
        (await gateway.post(f"logged-models/{made}/tags", "PATCH", tags=labels(a="2", **{"b/c d": "3"}))).found()
        assert (await models.get(made))["tags"] == labels(a="2", **{"b/c d": "3"})
    versions = '[{"name": "wine", "version": 1}, 3]'
    (
        await gateway.post(f"logged-models/{made}/tags", "PATCH", tags=labels(**{"mlflow.modelVersions": versions}))
    ).found()
    assert (await models.get(made))["registrations"] == [{"name": "wine", "version": 1}]
    (await gateway.post(f"logged-models/{made}/tags/b/c d", "DELETE")).found()
    assert [each["key"] for each in (await models.get(made))["tags"]] == ["a", "mlflow.modelVersions"]
    assert (await gateway.post(f"logged-models/{made}/tags/b/c d", "DELETE")).error == (
        404,
        "RESOURCE_DOES_NOT_EXIST",
        f"No tag with name: b/c d in logged model with id {made}",
    )


async def test_params_are_added_once(models: Models, gateway: Gateway) -> None:
    made = await models.make(params=labels(lr="0.1"))
    for _ in range(2):
        (await gateway.post(f"logged-models/{made}/params", params=labels(lr="0.1", depth=""))).found()
    refused = await gateway.post(f"logged-models/{made}/params", params=labels(lr="0.2", new="1"))

    assert refused.error == (
        400,
        "INVALID_PARAMETER_VALUE",
        "Changing param values is not allowed. Param with key='lr' was already logged with value='0.1' for model"
        f" ID='{made}'. Attempted logging new value '0.2'.",
    )
    assert (await models.get(made))["params"] == labels(depth="", lr="0.1")


async def test_labels_have_limits(models: Models, gateway: Gateway) -> None:
    made = await models.make(tags=labels(**{"k" * 250: "v" * 8_000}), params=labels(**{"k" * 250: "v" * 6_000}))
    for kind, method, value in (("tags", "PATCH", "v" * 8_001), ("params", "POST", "v" * 6_001)):
        for pairs in (
            labels(a=value),
            labels(**{"k" * 251: "1"}),
            labels(a="1") * 2,
            [{"key": str(n), "value": ""} for n in range(1_001)],
            [{"value": "1"}],
            ["a"],
        ):
            refused = await gateway.post(f"logged-models/{made}/{kind}", method, **{kind: pairs})
            assert refused.error[:2] == (400, "INVALID_PARAMETER_VALUE"), (kind, pairs)
    for kind, method in (("tags", "PATCH"), ("params", "POST")):
        others = [{"key": str(n), "value": ""} for n in range(999)]
        (await gateway.post(f"logged-models/{made}/{kind}", method, **{kind: others})).found()
        refused = await gateway.post(f"logged-models/{made}/{kind}", method, **{kind: labels(new="")})
        assert refused.error[2] == "A logged model has up to 1000 params, and as many tags."
        assert len((await models.get(made))[kind]) == 1_000
    assert (await gateway.post("logged-models", name="x")).error[2] == (
        "Missing value for required parameter 'experiment_id'."
    )
    for fields in ({"name": "n" * 501}, {"model_type": "n" * 501}, {"source_run_id": "none"}, {"experiment_id": "77"}):
        refused = await gateway.post("logged-models", **({"experiment_id": models.experiment_id} | fields))
        assert refused.status in (400, 404), fields


async def test_a_deleted_model_is_not_there_but_its_files_can_be_read(models: Models, gateway: Gateway) -> None:
    made = await models.make(source_run_id="run")
    await models.files(made).put("MLmodel", b"1")
    for _ in range(2):
        (await gateway.post(f"logged-models/{made}", "DELETE")).found()

    missing = (404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with id={made} not found")
    assert (await gateway.get(f"logged-models/{made}")).error == missing
    assert (await gateway.post(f"logged-models/{made}/tags", "PATCH", tags=labels(a="1"))).error == missing
    assert (await gateway.post(f"logged-models/{made}/params", params=labels(a="1"))).error == missing
    assert (await gateway.post(f"logged-models/{made}", "PATCH", status="LOGGED_MODEL_READY")).error == missing
    assert (await models.files(made).put("x", b"1")).error == missing
    assert await models.files(made).content("MLmodel") == b"1"
    assert await (await files_of(gateway, "run")).listed() == []
    for unknown in (NONE, "m-1", "x"):
        assert (await gateway.get(f"logged-models/{unknown}")).error[2] == f"Logged model with id={unknown} not found"
        assert (await gateway.post(f"logged-models/{unknown}", "DELETE")).status == 404


async def test_metrics_of_a_model_are_the_latest_of_each_dataset(models: Models, backend: Backend) -> None:
    made, other = [await models.make(name=name) for name in ("a", "b")]
    logged = [
        Logged("loss", 0.5, made, step=2, timestamp=10),
        Logged("loss", 0.7, made, step=2, timestamp=9),
        Logged("loss", 0.6, made, step=1, timestamp=99),
        Logged("loss", 0.1, made, step=9, timestamp=1, dataset_name="train", dataset_digest="1"),
        Logged("loss", math.inf, made, dataset_name="train", dataset_digest="2"),
        Logged("loss", math.nan, other),
        Logged("loss", 1.0, ""),
    ]
    async with model_metrics(backend.config, backend.channel) as (metrics, visitor):
        for _ in range(2):
            await metrics.check(visitor, logged)
            await metrics.record(visitor, "run", logged)
        await metrics.record(visitor, "later", [Logged("loss", 0.4, made, step=2, timestamp=10)])
        await metrics.record(visitor, "later", [Logged("new", 0.4, made)])
        for model in (NONE, "x"):
            with pytest.raises(MlflowError, match="not found"):
                await metrics.check(visitor, [Logged("loss", 1.0, made), Logged("loss", 1.0, model)])
            with pytest.raises(MlflowError, match="not found"):
                await metrics.record(visitor, "run", [Logged("loss", 1.0, made, step=50), Logged("loss", 1.0, model)])

    about = {"key": "loss", "model_id": made, "run_id": "run"}
    assert (await models.get(made))["metrics"] == [
        about | {"value": 0.5, "step": 2, "timestamp": 10},
        about | {"value": 0.1, "step": 9, "timestamp": 1, "dataset_name": "train", "dataset_digest": "1"},
        about | {"value": "Infinity", "step": 0, "timestamp": 1, "dataset_name": "train", "dataset_digest": "2"},
        {"key": "new", "model_id": made, "run_id": "later", "value": 0.4, "step": 0, "timestamp": 1},
    ]
    assert (await models.get(other))["metrics"][0]["value"] == "NaN"


async def test_of_several_metrics_at_one_step_and_time_a_number_counts_before_nan(
    models: Models, backend: Backend
) -> None:
    made = await models.make(name="a")
    async with model_metrics(backend.config, backend.channel) as (metrics, visitor):
        for value in (math.nan, -1.0, math.nan):
            await metrics.record(visitor, "run", [Logged("one by one", value, made)])
        await metrics.record(visitor, "run", [Logged("together", value, made) for value in (math.nan, -1.0, math.nan)])

    assert [each["value"] for each in (await models.get(made))["metrics"]] == [-1.0, -1.0]


async def test_metrics_that_are_logged_for_a_model_are_its_own_too(models: Models, gateway: Gateway) -> None:
    made = await models.make(name="a", source_run_id="run")
    metric: dict[str, Any] = {"key": "acc", "value": 0.5, "timestamp": 5, "step": 1, "model_id": made}
    for _ in range(2):
        (await gateway.post("runs/log-metric", run_id="run", **metric)).found()
        (await gateway.post("runs/log-batch", run_id="run", metrics=[metric | {"key": "f1"}])).found()

    assert [(each["key"], each["value"], each["run_id"]) for each in (await models.get(made))["metrics"]] == [
        ("acc", 0.5, "run"),
        ("f1", 0.5, "run"),
    ]
    unknown = metric | {"key": "new", "model_id": NONE}
    missing = (404, "RESOURCE_DOES_NOT_EXIST", f"Logged model with id={NONE} not found")
    assert (await gateway.post("runs/log-metric", run_id="run", **unknown)).error == missing
    tags = labels(a="1")
    assert (await gateway.post("runs/log-batch", run_id="run", metrics=[metric, unknown], tags=tags)).error == missing
    run = (await gateway.get("runs/get", run_id="run")).found()["run"]["data"]
    assert sorted(each["key"] for each in run["metrics"]) == ["acc", "f1"]
    assert "a" not in {each["key"] for each in run["tags"]}


async def test_models_are_made_in_active_experiments_and_runs_only(models: Models, gateway: Gateway) -> None:
    (await gateway.post("experiments/delete", experiment_id=models.experiment_id)).found()

    for source in ("run", ""):
        refused = await gateway.post("logged-models", experiment_id=models.experiment_id, source_run_id=source)
        assert "must be in the 'active' state" in refused.error[2]


async def test_a_model_has_up_to_ten_thousand_metrics(models: Models, backend: Backend, postgres: Postgres) -> None:
    made = await models.make()
    await postgres.execute(
        "INSERT INTO gateway.logged_model_metric"
        " SELECT 'space', $1, n::text, '', '', 'run', 0, 0, 0 FROM generate_series(1, 9999) AS n",
        made,
    )
    async with model_metrics(backend.config, backend.channel) as (metrics, visitor):
        await metrics.record(visitor, "run", [Logged("last", 1.0, made)])
        with pytest.raises(MlflowError, match="up to 10000 metrics"):
            await metrics.record(visitor, "run", [Logged("more", 1.0, made)])
        await metrics.record(visitor, "run", [Logged("last", 2.0, made, step=1)])
