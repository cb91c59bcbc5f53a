"""Searches of the model registry."""

from typing import Any

import pytest

from runstream_server.gateway.mlflow.registry import searching
from runstream_server.postgres import Postgres
from tests.gateways import API, Gateway


async def names(gateway: Gateway, **query: Any) -> list[str]:
    """The names of the registered models that are found."""
    found = (await gateway.get("registered-models/search", **query)).found()
    return [each["name"] for each in found["registered_models"]]


async def versions(gateway: Gateway, **query: Any) -> list[str]:
    """The versions that are found, `iris/1` for example."""
    found = (await gateway.get("model-versions/search", **query)).found()
    return [f"{each['name']}/{each['version']}" for each in found["model_versions"]]


@pytest.fixture
async def filled(gateway: Gateway, postgres: Postgres) -> Gateway:
    """Some models and versions, each one second later than the one before."""
    for name in ("rose", "iris", "Iris-2"):
        tags = [{"key": "kind", "value": name.lower()}]
        (await gateway.post("registered-models/create", name=name, tags=tags)).found()
    for number, (name, run, source) in enumerate(
        (("iris", "a", "s3://one"), ("rose", "b", "s3://two"), ("iris", "b", "s3://two"), ("iris", "", "file:/x"))
    ):
        tags = [{"key": "n", "value": str(number)}]
        made = await gateway.post("model-versions/create", name=name, run_id=run, source=source, tags=tags)
        assert made.status == 200
    await postgres.execute(
        "UPDATE gateway.model_version SET create_ms = 1_000 * version, update_ms = 1_000 * version + length(source)"
    )
    await postgres.execute("UPDATE gateway.registered_model SET create_ms = 5, update_ms = length(name)")
    return gateway


async def test_registered_models_are_found_by_name_tags_and_times(filled: Gateway) -> None:
    for query, expected in {
        "": ["Iris-2", "iris", "rose"],
        "name = 'iris'": ["iris"],
        "name != 'iris'": ["Iris-2", "rose"],
        "name LIKE 'i%'": ["iris"],
        "name ILIKE 'i%'": ["Iris-2", "iris"],
        "tags.kind = 'rose'": ["rose"],
        "tags.kind LIKE '%-2' AND name ILIKE 'iris%'": ["Iris-2"],
        "tags.other != 'rose'": [],
        "last_updated_timestamp > 4": ["Iris-2"],
        "creation_timestamp = 5 and name = 'rose'": ["rose"],
    }.items():
        assert await names(filled, filter=query) == expected, query


async def test_prompts_are_left_out_as_clients_ask_for_it(filled: Gateway) -> None:
    tags = [{"key": "mlflow.prompt.is_prompt", "value": "true"}]
    (await filled.post("registered-models/create", name="prompt", tags=tags)).found()

    assert await names(filled, filter="tag.`mlflow.prompt.is_prompt` != 'true'") == ["Iris-2", "iris", "rose"]
    assert await names(filled, filter="tags.`mlflow.prompt.is_prompt` = 'true'") == ["prompt"]
    assert await names(filled) == ["Iris-2", "iris", "prompt", "rose"]


async def test_registered_models_are_shown_whole_and_in_the_order_that_is_asked_for(filled: Gateway) -> None:
    assert await names(filled, order_by=["name DESC"]) == ["rose", "iris", "Iris-2"]
    assert await names(filled, order_by=["timestamp DESC", "name DESC"]) == ["Iris-2", "rose", "iris"]
    assert await names(filled, order_by="last_updated_timestamp") == ["iris", "rose", "Iris-2"]
    assert await names(filled, order_by="tags.kind DESC") == ["rose", "Iris-2", "iris"]
    found = (await filled.get("registered-models/search", filter="name = 'iris'")).found()["registered_models"]
    assert found == [(await filled.get("registered-models/get", name="iris")).found()["registered_model"]]
    assert [each["version"] for each in found[0]["latest_versions"]] == ["3"]


async def test_versions_are_found_by_what_they_have(filled: Gateway) -> None:
    for query, expected in {
        "": ["iris/3", "iris/2", "iris/1", "rose/1"],
        "name = 'iris'": ["iris/3", "iris/2", "iris/1"],
        "name = 'none'": [],
        "run_id = 'b'": ["iris/2", "rose/1"],
        "run_id IN ('a', 'c')": ["iris/1"],
        "name = 'iris' AND run_id = 'b'": ["iris/2"],
        "source_path LIKE 's3:%'": ["iris/2", "iris/1", "rose/1"],
        "version_number >= 2": ["iris/3", "iris/2"],
        "tags.n = '3'": ["iris/3"],
        "tag.n != '3' and attributes.name ILIKE 'ROSE'": ["rose/1"],
        "creation_timestamp < 2000": ["iris/1", "rose/1"],
        "current_stage = 'Archived'": [],
    }.items():
        assert await versions(filled, filter=query) == expected, query
    assert await versions(filled, order_by=["name DESC", "version_number ASC"]) == [
        "rose/1",
        "iris/1",
        "iris/2",
        "iris/3",
    ]


async def test_pages_meet_each_thing_once_also_when_all_are_equal(filled: Gateway, postgres: Postgres) -> None:
    await postgres.execute("UPDATE gateway.model_version SET update_ms = 7")
    long = [f"{'n' * 230}{number}" for number in range(5)]
    for name in long:
        (await filled.post("registered-models/create", name=name)).found()

    whole = ["iris/3", "iris/2", "iris/1", "rose/1"]
    assert await _pages(filled, "model-versions", "model_versions", 1) == await versions(filled)
    assert sorted(await versions(filled)) == sorted(whole)
    found = await _pages(filled, "registered-models", "registered_models", 2)
    assert found == ["Iris-2", "iris", *long, "rose"]


async def _pages(gateway: Gateway, endpoint: str, key: str, size: int) -> list[str]:
    found, token = [], ""
    while True:
        query = {"max_results": size} | ({"page_token": token} if token else {})
        page = (await gateway.get(f"{endpoint}/search", **query)).found()
        found += [f"{each['name']}/{each['version']}" if "version" in each else each["name"] for each in page[key]]
        assert len(page[key]) <= size
        if "next_page_token" not in page:
            return found
        token = page["next_page_token"]


async def test_a_page_has_a_bounded_size_whatever_is_asked_for(filled: Gateway, postgres: Postgres) -> None:
    (await filled.post("registered-models/create", name="large")).found()
    for version in range(1, 4):
        (await filled.post("model-versions/create", name="large", source="s")).found()
        await postgres.execute(
            "INSERT INTO gateway.model_version_tag VALUES ('space', 'large', $1, 'k', repeat('v', 5_000_000))", version
        )

    assert searching.MOST_BYTES == 8 << 20
    assert await versions(filled, filter="name = 'large'") == ["large/3"]
    assert await _pages(filled, "model-versions", "model_versions", 100) == [
        "large/3",
        "large/2",
        "large/1",
        "iris/3",
        "iris/2",
        "iris/1",
        "rose/1",
    ]


async def test_searches_that_make_no_sense_are_refused(filled: Gateway) -> None:
    token = (await filled.get("registered-models/search", max_results=1)).found()["next_page_token"]
    for endpoint, query in (
        ("registered-models", {"filter": "run_id = 'a'"}),
        ("registered-models", {"filter": "name > 'a'"}),
        ("registered-models", {"order_by": "run_id"}),
        ("registered-models", {"max_results": 1_001}),
        ("registered-models", {"max_results": 0}),
        ("registered-models", {"page_token": "x"}),
        ("registered-models", {"page_token": token, "filter": "name = 'a'"}),
        ("model-versions", {"page_token": token}),
        ("model-versions", {"filter": "version_number LIKE 'a'"}),
        ("model-versions", {"filter": "`end of name` = 'a'"}),
        ("model-versions", {"max_results": 200_001}),
    ):
        answer = await filled.get(f"{endpoint}/search", **query)
        assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE"), query
    assert await names(filled, max_results=1_000) == ["Iris-2", "iris", "rose"]
    assert len(await versions(filled, max_results=200_000)) == 4


async def test_the_page_of_mlflow_searches_as_well(filled: Gateway) -> None:
    path = API.replace("/api/", "/ajax-api/") + "/registered-models/search"

    assert len((await filled.request("GET", path)).found()["registered_models"]) == 3
