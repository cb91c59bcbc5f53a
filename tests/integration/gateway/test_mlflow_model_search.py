"""Searches for logged models."""

from typing import Any

import pytest

from runstream_server.postgres import Postgres
from tests.conftest import Backend
from tests.logged_models import Logged, Models, model_metrics


def labels(**pairs: str) -> list[dict[str, str]]:
    """Tags or params as they travel."""
    return [{"key": key, "value": value} for key, value in pairs.items()]


@pytest.fixture
async def three(models: Models, backend: Backend) -> Models:
    """Models `a`, `b` and `c`, made in this order."""
    a = await models.make(name="a", source_run_id="run", params=labels(depth="3"), tags=labels(**{"my tag": "x"}))
    b = await models.make(name="b", model_type="classifier", params=labels(depth="4"))
    c = await models.make(name="c", source_run_id="run", tags=labels(**{"my tag": "Y"}))
    await models.gateway.post(f"logged-models/{b}", "PATCH", status="LOGGED_MODEL_READY")
    logged = [
        Logged("acc", 0.5, a, dataset_name="train", dataset_digest="1"),
        Logged("acc", 0.9, a, dataset_name="test", dataset_digest="1"),
        Logged("acc", 0.7, b, dataset_name="train", dataset_digest="2"),
        Logged("acc", 0.1, b, dataset_name="test", dataset_digest="1"),
        Logged("val/loss", float("nan"), b),
        Logged("val/loss", 2.0, a),
        Logged("val/loss", 1.0, c),
    ]
    async with model_metrics(backend.config, backend.channel) as (metrics, visitor):
        await metrics.record(visitor, "run", logged)
    return models


async def test_models_are_found_by_what_they_have(three: Models) -> None:
    (b,) = [each["info"] for each in (await three.page("name = 'b'"))["models"]]
    for text, found in {
        "": "abc",
        "name = 'a'": "a",
        "name != 'a'": "bc",
        "name ILIKE 'A%'": "a",
        "name IN ('a', 'c')": "ac",
        f"model_id = '{b['model_id']}'": "b",
        "model_type = 'classifier'": "b",
        "source_run_id = 'run'": "ac",
        "source_run_id = 'run' AND name = 'b'": "",
        "status = 'READY'": "b",
        "status = 'LOGGED_MODEL_PENDING'": "ac",
        "status IN ('LOGGED_MODEL_READY', 'PENDING')": "abc",
        f"creation_timestamp_ms >= {b['creation_timestamp_ms']} AND attributes.name < 'x'": None,
        f"creation_timestamp <= {b['creation_timestamp_ms']} AND last_updated_timestamp > 0 AND name = 'b'": "b",
        "params.depth = '3'": "a",
        "params.depth IS NULL": "c",
        "tags.`my tag` ILIKE 'y'": "c",
        "metrics.acc > 0.8": "a",
        "metrics.acc < 0.6": "ab",
        "metrics.`val/loss` > 0": "ac",
    }.items():
        if found is None:
            refused = await three.gateway.post("logged-models/search", experiment_ids=["1"], filter=text)
            assert refused.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        else:
            assert sorted(await three.search(text)) == list(found), text


async def test_datasets_choose_the_metrics_that_filters_see(three: Models) -> None:
    train, test = {"dataset_name": "train", "dataset_digest": "1"}, {"dataset_name": "test"}

    assert await three.search("metrics.acc > 0.6", datasets=[{"dataset_name": "train"}]) == ["b"]
    assert await three.search("metrics.acc > 0.4", datasets=[train]) == ["a"]
    assert sorted(await three.search("metrics.acc < 0.6", datasets=[train, test])) == ["a", "b"]
    assert sorted(await three.search(datasets=[test])) == ["a", "b"]
    assert await three.search(datasets=[{"dataset_name": "none"}]) == []
    refused = await three.gateway.post("logged-models/search", experiment_ids=["1"], datasets=[{"dataset_digest": "1"}])
    assert refused.error[2] == "Missing value for required parameter 'datasets[0].dataset_name'."


async def test_models_come_in_the_order_that_is_asked_for_in_any_pages(three: Models) -> None:
    for order, found in (
        ([], "cba"),
        ([{"field_name": "name"}], "abc"),
        ([{"field_name": "attributes.name", "ascending": False}], "cba"),
        ([{"field_name": "creation_timestamp", "ascending": True}], "abc"),
        ([{"field_name": "params.depth", "ascending": False}], "bac"),
        ([{"field_name": "metrics.val/loss"}], "cab"),
        ([{"field_name": "metrics.val/loss", "ascending": False}], "acb"),
        ([{"field_name": "metrics.`val/loss`"}], "cab"),
        ([{"field_name": "metrics.acc", "dataset_name": "train"}], "abc"),
        ([{"field_name": "metrics.acc", "dataset_name": "test", "dataset_digest": "1"}], "bac"),
        ([{"field_name": "metrics.acc", "ascending": False, "dataset_name": "train", "dataset_digest": "2"}], "bca"),
        ([{"field_name": "metrics.none"}, {"field_name": "name", "ascending": False}], "cba"),
    ):
        for size in (1, 2, 100):
            assert await three.search(order_by=order, max_results=size) == list(found), (order, size)


async def test_ties_are_returned_once_each_in_pages(models: Models) -> None:
    for _ in range(7):
        await models.make(name="same", tags=labels(a="1"))

    first = await models.page(order_by=[{"field_name": "tags.a"}], max_results=3)
    ids = [each["info"]["model_id"] for each in first["models"]]
    token = first["next_page_token"]
    while token:
        page = await models.page(order_by=[{"field_name": "tags.a"}], max_results=3, page_token=token)
        ids += [each["info"]["model_id"] for each in page["models"]]
        token = page.get("next_page_token")

    assert len(ids) == len(set(ids)) == 7


async def test_a_wrong_search_is_refused(models: Models) -> None:
    await models.make(name="a")
    await models.make(name="b")
    token = (await models.page(max_results=1))["next_page_token"]
    wrong: list[dict[str, Any]] = [
        {"experiment_ids": []},
        {"experiment_ids": ["1"] * 1_001},
        {"filter": "name = 'a' OR name = 'b'"},
        {"filter": "colour = 'a'"},
        {"filter": "name > 'a'"},
        {"max_results": 0},
        {"max_results": 50_001},
        {"page_token": "x"},
        {"page_token": token, "filter": "name = 'a'"},
        {"page_token": token, "datasets": [{"dataset_name": "a"}]},
        {"order_by": [{"field_name": "colour"}]},
        {"order_by": [{}]},
        {"order_by": ["name"]},
        {"order_by": [{"field_name": "name", "dataset_name": "train"}]},
        {"order_by": [{"field_name": "metrics.a", "dataset_digest": "1"}]},
    ]
    for fields in wrong:
        asked = {"experiment_ids": [models.experiment_id]} | fields
        refused = await models.gateway.post("logged-models/search", **asked)
        assert refused.error[:2] == (400, "INVALID_PARAMETER_VALUE"), fields
    assert await models.search(experiment_ids=["77", "x"]) == []
    assert (await models.page(max_results=50_000))["models"][0]["info"]["name"] == "b"


async def test_deleted_models_are_not_found(models: Models) -> None:
    made = await models.make(name="a")
    await models.gateway.post(f"logged-models/{made}", "DELETE")

    assert await models.search() == []


async def test_models_of_runs_that_are_gone_are_not_found(three: Models, postgres: Postgres) -> None:
    await postgres.execute("UPDATE gateway.logged_model SET run = 'gone' WHERE name = 'b'")

    assert await three.search() == ["c", "a"]
    assert await three.search(max_results=1) == ["c", "a"]


async def test_a_page_ends_early_where_models_are_large(models: Models, postgres: Postgres) -> None:
    for n in range(21):
        await models.make(name=f"{n:02}", source_run_id="run")
    await postgres.execute(
        """
        INSERT INTO gateway.logged_model_tag
        SELECT workspace, model_id, key, repeat('v', 8000) FROM gateway.logged_model, generate_series(1, 60) AS key
        """
    )

    page = await models.page(order_by=[{"field_name": "name"}])

    assert len(page["models"]) == 20
    rest = await models.page(order_by=[{"field_name": "name"}], page_token=page["next_page_token"])
    assert [each["info"]["name"] for each in rest["models"]] == ["20"]
    assert "next_page_token" not in rest
