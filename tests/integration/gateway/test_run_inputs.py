"""Datasets and models that runs used, and models that they made."""

import asyncio
from typing import Any

import grpc
import pytest

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.auth import Role
from runstream_server.config import Config
from runstream_server.gateway.store import inputs
from runstream_server.gateway.store.inputs import InputStore
from runstream_server.postgres import Postgres
from tests import stubs
from tests.conftest import Backend
from tests.gateways import Gateway, open_gateway
from tests.guarded import guarded_services
from tests.make_runs import make_run

DATASET = {
    "name": "iris",
    "digest": "d1",
    "source_type": "local",
    "source": "file:///iris.csv",
    "schema": '{"a": "long"}',
    "profile": "",
}


def used(context: str = "", **dataset: Any) -> dict[str, Any]:
    """An item of `datasets`."""
    tags = [{"key": "mlflow.data.context", "value": context}] if context else []
    return {"dataset": DATASET | dataset, "tags": tags}


@pytest.fixture
def store(postgres: Postgres) -> InputStore:
    """What the gateway keeps."""
    return InputStore(postgres)


async def test_a_run_shows_what_it_used_and_made_once_however_often_it_is_told(gateway: Gateway, run: str) -> None:
    for _ in range(2):
        told = [used("train"), used("test", name="other", profile=None)]
        (await gateway.post("runs/log-inputs", run_id="run", datasets=told, models=[{"model_id": "m-1"}])).found()
        (await gateway.post("runs/outputs", run_id="run", models=[{"model_id": "m-2", "step": 5}])).found()

    shown = (await gateway.get("runs/get", run_id="run")).found()["run"]
    other = {key: value for key, value in (DATASET | {"name": "other"}).items() if key != "profile"}
    assert shown["inputs"] == {
        "dataset_inputs": [
            {"tags": [{"key": "mlflow.data.context", "value": "train"}], "dataset": DATASET},
            {"tags": [{"key": "mlflow.data.context", "value": "test"}], "dataset": other},
        ],
        "model_inputs": [{"model_id": "m-1"}],
    }
    assert shown["outputs"] == {"model_outputs": [{"model_id": "m-2", "step": 5}]}
    experiments = [shown["info"]["experiment_id"]]
    searched = await gateway.post("runs/search", experiment_ids=experiments, filter="datasets.context = 'test'")
    assert searched.found()["runs"] == [shown]


async def test_a_run_that_used_nothing_shows_nothing(gateway: Gateway, run: str) -> None:
    shown = (await gateway.get("runs/get", run_id="run")).found()["run"]

    assert (shown["inputs"], shown["outputs"]) == ({}, {})


async def test_a_dataset_stays_as_it_was_told_first_and_its_tags_are_set_besides(
    gateway: Gateway, run: str, store: InputStore
) -> None:
    first = {"dataset": DATASET, "tags": [{"key": "a", "value": "1"}, {"key": "b", "value": "1"}]}
    second = {"dataset": DATASET | {"source": "elsewhere"}, "tags": [{"key": "b", "value": "2"}]}
    (await gateway.post("runs/log-inputs", run_id="run", datasets=[first])).found()
    (await gateway.post("runs/log-inputs", run_id="run", datasets=[second])).found()
    (await gateway.post("runs/outputs", run_id="run", models=[{"model_id": "m", "step": 1}])).found()
    (await gateway.post("runs/outputs", run_id="run", models=[{"model_id": "m"}])).found()

    found = (await store.of_runs("space", ["run"]))["run"]
    assert [(each.dataset.source, each.tags) for each in found.datasets] == [("file:///iris.csv", {"a": "1", "b": "2"})]
    assert [(each.model, each.step) for each in found.outputs] == [("m", 0)]


async def test_runs_of_one_page_share_a_dataset(backend: Backend, gateway: Gateway, store: InputStore) -> None:
    for run_id in ("first", "second", "third"):
        await make_run(backend.channel, run_id)
        (await gateway.post("runs/log-inputs", run_id=run_id, datasets=[used(run_id)])).found()

    page = await store.of_runs("space", ["third", "first"])
    assert page.keys() == {"first", "third"}
    assert page["first"].datasets[0].dataset is page["third"].datasets[0].dataset
    assert page["third"].datasets[0].dataset.source == "file:///iris.csv"
    searched = await store.datasets_of_runs("space", ["first", "second", "none"])
    assert {run: [(each.name, each.digest, each.context) for each in each] for run, each in searched.items()} == {
        "first": [("iris", "d1", "first")],
        "second": [("iris", "d1", "second")],
    }
    assert await store.of_runs("other", ["first"]) == {} == await store.of_runs("space", [])


async def test_many_who_tell_the_same_at_once_are_all_heard(gateway: Gateway, run: str, store: InputStore) -> None:
    names = [f"d{number}" for number in range(8)]
    turned = [names[number:] + names[:number] for number in range(8)]
    answers = await asyncio.gather(
        *(
            gateway.post("runs/log-inputs", run_id="run", datasets=[used(name=each) for each in order])
            for order in turned
        )
    )

    assert [answer.status for answer in answers] == [200] * 8
    found = (await store.of_runs("space", ["run"]))["run"]
    assert sorted(each.dataset.name for each in found.datasets) == names


LIMITS = {
    "datasets[0].dataset.name": ("name", 500),
    "datasets[0].dataset.digest": ("digest", 36),
    "datasets[0].dataset.source_type": ("source_type", 36),
    "datasets[0].dataset.source": ("source", 65_535),
    "datasets[0].dataset.schema": ("schema", 1_048_575),
    "datasets[0].dataset.profile": ("profile", 16_777_215),
}


async def test_each_limit_holds_to_the_character(gateway: Gateway, run: str, store: InputStore) -> None:
    for path, (name, most) in LIMITS.items():
        good = await gateway.post_large("runs/log-inputs", run_id="run", datasets=[used(**{name: "e" * most})])
        assert good.status == 200, (path, good.body)
        bad = await gateway.post_large("runs/log-inputs", run_id="run", datasets=[used(**{name: "e" * (most + 1)})])
        assert bad.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert bad.error[2].endswith(
            f"for parameter '{path}' supplied: expected up to {most} characters, got {most + 1}"
        )
    for key, value, status in ((255, 500, 200), (256, 1, 400), (1, 501, 400)):
        tagged = {"dataset": DATASET, "tags": [{"key": "k" * key, "value": "v" * value}]}
        assert (await gateway.post("runs/log-inputs", run_id="run", datasets=[tagged])).status == status
    for count, status in ((1_000, 200), (1_001, 400)):
        models = [{"model_id": f"m-{number}"} for number in range(count)]
        assert (await gateway.post("runs/log-inputs", run_id="run", models=models)).status == status
        assert (await gateway.post("runs/outputs", run_id="run", models=models)).status == status
    assert len((await store.of_runs("space", ["run"]))["run"].models) == 1_000


async def test_a_run_has_a_bounded_number_of_inputs(
    gateway: Gateway, run: str, store: InputStore, postgres: Postgres
) -> None:
    await postgres.execute(
        "INSERT INTO gateway.model_input (workspace, run, model)"
        " SELECT 'space', 'run', number FROM generate_series(2, $1) number",
        inputs.MOST_PER_RUN,
    )
    (await gateway.post("runs/log-inputs", run_id="run", models=[{"model_id": "m"}])).found()

    answer = await gateway.post("runs/log-inputs", run_id="run", models=[{"model_id": "m-1"}])
    assert answer.error == (
        400,
        "INVALID_PARAMETER_VALUE",
        "Run run would have more than 10000 datasets or models as inputs or outputs",
    )
    assert len((await store.of_runs("space", ["run"]))["run"].models) == inputs.MOST_PER_RUN


async def test_what_is_said_of_the_datasets_of_a_run_is_bounded_as_a_whole(
    gateway: Gateway, run: str, store: InputStore, postgres: Postgres
) -> None:
    (await gateway.post("runs/log-inputs", run_id="run", datasets=[used(profile="p")])).found()
    others = "(length(source) + coalesce(length(schema), 0) + length('{}'))"
    await postgres.execute(
        f"UPDATE gateway.dataset SET profile = repeat('p', $1 - {others} - 1)", inputs.MOST_BYTES_PER_RUN
    )
    small = used(name="o", source="s", schema=None, profile=None)

    answer = await gateway.post("runs/log-inputs", run_id="run", datasets=[small])

    assert answer.error == (
        400,
        "INVALID_PARAMETER_VALUE",
        f"Run run would have datasets of more than {inputs.MOST_BYTES_PER_RUN} bytes together",
    )
    assert len((await store.datasets_of_runs("space", ["run"]))["run"]) == 1
    (await gateway.post("runs/log-inputs", run_id="run", datasets=[used(profile="other")])).found()


@pytest.mark.parametrize(
    ("body", "missing"),
    [
        ({}, "run_id"),
        ({"run_id": "run", "datasets": [{}]}, "datasets[0].dataset"),
        ({"run_id": "run", "datasets": [{"dataset": {}}]}, "datasets[0].dataset.name"),
        ({"run_id": "run", "datasets": [used(), used(digest="")]}, "datasets[1].dataset.digest"),
        ({"run_id": "run", "datasets": [used(source_type=None)]}, "datasets[0].dataset.source_type"),
        ({"run_id": "run", "datasets": [used(source="")]}, "datasets[0].dataset.source"),
        ({"run_id": "run", "datasets": [used() | {"tags": [{"value": "v"}]}]}, "datasets[0].tags[0].key"),
        ({"run_id": "run", "models": [{}]}, "models[0].model_id"),
    ],
)
async def test_what_is_missing_is_named(gateway: Gateway, run: str, body: Any, missing: str) -> None:
    answer = await gateway.post("runs/log-inputs", **body)

    expected = f"Missing value for required parameter '{missing}'."
    assert answer.error == (400, "INVALID_PARAMETER_VALUE", expected)


async def test_of_runs_that_are_deleted_or_unknown_nothing_is_noted(
    backend: Backend, gateway: Gateway, run: str, store: InputStore
) -> None:
    assert (await gateway.post("runs/outputs", run_id="run")).error[2].endswith("required parameter 'models'.")
    await stubs.run_history(backend.channel).DeleteRuns(
        messages.DeleteRunsRequest(parent="workspaces/space", names=[run])
    )
    deleted = "The run run must be in the 'active' state. Current state is deleted."
    for endpoint in ("runs/log-inputs", "runs/outputs"):
        models = [{"model_id": "m"}]
        unknown = await gateway.post(endpoint, run_id="none", models=models)
        assert unknown.error == (404, "RESOURCE_DOES_NOT_EXIST", "Run with id=none not found")
        told = await gateway.post(endpoint, run_id="run", models=models)
        assert told.error == (400, "INVALID_PARAMETER_VALUE", deleted)
    assert await store.of_runs("space", ["run", "none"]) == {}


async def test_tokens_note_inputs_only_of_runs_that_they_may_write(config: Config) -> None:
    async with guarded_services(config) as guarded:
        for run_id in ("run", "foreign"):
            await make_run(guarded.channel, run_id)
        statuses = {
            "reader": await _tell(guarded.channel, (await guarded.token(Role.READER))[1], "run"),
            "writer": await _tell(guarded.channel, (await guarded.token(Role.WRITER))[1], "run"),
            "own": await _tell(guarded.channel, (await guarded.token(Role.RUN, run="run"))[1], "run"),
            "foreign": await _tell(guarded.channel, (await guarded.token(Role.RUN, run="run"))[1], "foreign"),
        }

    assert statuses == {"reader": 403, "writer": 200, "own": 200, "foreign": 404}


async def _tell(channel: grpc.aio.Channel, secret: str, run_id: str) -> int:
    async with open_gateway(channel, secret=secret) as gateway:
        answers = [
            await gateway.post("runs/log-inputs", run_id=run_id, datasets=[used()]),
            await gateway.post("runs/outputs", run_id=run_id, models=[{"model_id": "m"}]),
        ]
        assert answers[0].status == answers[1].status
        return answers[0].status
