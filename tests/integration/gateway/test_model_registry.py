"""The model registry: names, versions, aliases, stages and tags."""

import asyncio
from typing import Any

import pytest

from runstream_server.gateway.store.registry import MAX_ALIASES, MAX_TAGS
from runstream_server.postgres import Postgres
from tests.gateways import Answered, Gateway

NO_MODEL = (404, "RESOURCE_DOES_NOT_EXIST", "Registered Model with name=none not found")


async def register(gateway: Gateway, name: str = "iris", versions: int = 0, **body: Any) -> None:
    """Makes a registered model with some versions."""
    (await gateway.post("registered-models/create", name=name, **body)).found()
    for number in range(1, versions + 1):
        assert (await add_version(gateway, name))["version"] == str(number)


async def add_version(gateway: Gateway, name: str = "iris", **body: Any) -> Any:
    """Makes a version."""
    answer = await gateway.post("model-versions/create", **({"name": name, "source": "s3://files"} | body))
    return answer.found()["model_version"]


async def get_model(gateway: Gateway, name: str = "iris") -> Any:
    """A registered model."""
    return (await gateway.get("registered-models/get", name=name)).found()["registered_model"]


async def get_version(gateway: Gateway, version: int, name: str = "iris") -> Any:
    """A version."""
    return (await gateway.get("model-versions/get", name=name, version=version)).found()["model_version"]


async def latest(gateway: Gateway, **body: Any) -> dict[str, str]:
    """The latest versions by stage."""
    found = (await gateway.post("registered-models/get-latest-versions", name="iris", **body)).found()
    return {each["current_stage"]: each["version"] for each in found["model_versions"]}


async def move(gateway: Gateway, version: int, stage: str, **body: Any) -> Answered:
    """Changes the stage of a version."""
    return await gateway.post("model-versions/transition-stage", name="iris", version=str(version), stage=stage, **body)


async def test_a_name_is_registered_once_and_shows_what_was_said_of_it(gateway: Gateway) -> None:
    tags = [{"key": "b", "value": "1"}, {"key": "a", "value": ""}, {"key": "b", "value": "2"}]
    made = await gateway.post("registered-models/create", name="iris", description="Flowers", tags=tags)

    model = made.found()["registered_model"]
    assert model == await get_model(gateway)
    assert model["creation_timestamp"] == model["last_updated_timestamp"] > 1_700_000_000_000
    assert {key: model[key] for key in ("name", "description", "tags", "aliases", "latest_versions")} == {
        "name": "iris",
        "description": "Flowers",
        "tags": [{"key": "a", "value": ""}, {"key": "b", "value": "2"}],
        "aliases": [],
        "latest_versions": [],
    }
    again = await gateway.post("registered-models/create", name="iris")
    assert again.error == (400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=iris) already exists.")


async def test_a_version_shows_what_was_said_of_it(gateway: Gateway) -> None:
    await register(gateway)
    made = await add_version(
        gateway,
        source="mlflow-artifacts:/0/abc/artifacts/model",
        run_id="abc",
        run_link="https://example.com/run",
        model_id="m-1",
        description="First",
        tags=[{"key": "k", "value": "v"}],
    )

    assert made == await get_version(gateway, 1)
    assert made.pop("creation_timestamp") == made.pop("last_updated_timestamp")
    assert made == {
        "name": "iris",
        "version": "1",
        "current_stage": "None",
        "description": "First",
        "source": "mlflow-artifacts:/0/abc/artifacts/model",
        "run_id": "abc",
        "run_link": "https://example.com/run",
        "model_id": "m-1",
        "status": "READY",
        "tags": [{"key": "k", "value": "v"}],
        "aliases": [],
    }
    place = (await gateway.get("model-versions/get-download-uri", name="iris", version="1")).found()
    assert place == {"artifact_uri": "mlflow-artifacts:/0/abc/artifacts/model"}


async def test_numbers_of_versions_are_never_used_again(gateway: Gateway) -> None:
    await register(gateway, versions=2)
    (await gateway.post("model-versions/delete", "DELETE", name="iris", version="2")).found()
    assert (await add_version(gateway))["version"] == "3"

    (await gateway.post("registered-models/delete", "DELETE", name="iris")).found()
    assert (await gateway.get("model-versions/get", name="iris", version="3")).status == 404
    assert (await gateway.get("registered-models/get", name="iris")).status == 404
    (await gateway.post("registered-models/create", name="iris")).found()
    assert (await add_version(gateway))["version"] == "4"

    renamed = (await gateway.post("registered-models/rename", name="iris", new_name="rose")).found()
    assert renamed["registered_model"]["name"] == "rose"
    assert (await add_version(gateway, "rose"))["version"] == "5"
    assert [each["version"] for each in (await get_model(gateway, "rose"))["latest_versions"]] == ["5"]
    assert (await gateway.get("registered-models/get", name="iris")).status == 404
    (await gateway.post("registered-models/create", name="iris")).found()
    assert (await add_version(gateway))["version"] == "5"


async def test_equal_requests_at_the_same_time_make_a_version_each(gateway: Gateway) -> None:
    await register(gateway)

    made = await asyncio.gather(*(add_version(gateway) for _ in range(10)))

    assert sorted(int(each["version"]) for each in made) == list(range(1, 11))


async def test_a_name_that_is_taken_is_not_given_to_another(gateway: Gateway) -> None:
    await register(gateway, "iris", tags=[{"key": "k", "value": "v"}])
    await register(gateway, "rose")

    answer = await gateway.post("registered-models/rename", name="iris", new_name="rose")
    assert answer.error == (400, "RESOURCE_ALREADY_EXISTS", "Registered Model (name=rose) already exists.")
    assert (await gateway.post("registered-models/rename", name="iris", new_name="iris")).status == 200
    assert (await get_model(gateway))["tags"] == [{"key": "k", "value": "v"}]


async def test_descriptions_change(gateway: Gateway) -> None:
    await register(gateway, versions=1, description="old")

    model = await gateway.post("registered-models/update", "PATCH", name="iris", description="new")
    version = await gateway.post("model-versions/update", "PATCH", name="iris", version="1", description="new too")

    assert model.found()["registered_model"]["description"] == "new" == (await get_model(gateway))["description"]
    assert version.found()["model_version"]["description"] == "new too"
    assert (await gateway.post("registered-models/update", "PATCH", name="iris")).status == 200
    assert (await get_model(gateway))["description"] == ""


async def test_tags_are_set_and_removed_as_often_as_it_is_told(gateway: Gateway) -> None:
    await register(gateway, versions=2)
    places: list[tuple[str, dict[str, Any]]] = [
        ("registered-models", {"name": "iris"}),
        ("model-versions", {"name": "iris", "version": "1"}),
    ]
    for endpoint, of in places:
        for value in ("old", "new", "new"):
            (await gateway.post(f"{endpoint}/set-tag", **of, key="k", value=value)).found()
        (await gateway.post(f"{endpoint}/set-tag", **of, key="empty")).found()
        for _ in range(2):
            (await gateway.post(f"{endpoint}/delete-tag", "DELETE", **of, key="empty")).found()

    assert (await get_model(gateway))["tags"] == [{"key": "k", "value": "new"}]
    assert (await get_version(gateway, 1))["tags"] == [{"key": "k", "value": "new"}]
    assert (await get_version(gateway, 2))["tags"] == []


async def test_an_alias_means_one_version(gateway: Gateway) -> None:
    await register(gateway, versions=2)
    for version in ("1", "2", "2"):
        (await gateway.post("registered-models/alias", name="iris", alias="champion", version=version)).found()
    (await gateway.post("registered-models/alias", name="iris", alias="a-1", version=2)).found()

    found = (await gateway.get("registered-models/alias", name="iris", alias="champion")).found()["model_version"]
    assert (found["version"], found["aliases"]) == ("2", ["a-1", "champion"])
    assert (await get_version(gateway, 1))["aliases"] == []
    model = await get_model(gateway)
    assert model["aliases"] == [{"alias": "a-1", "version": "2"}, {"alias": "champion", "version": "2"}]
    assert model["latest_versions"][0]["aliases"] == ["a-1", "champion"]

    for _ in range(2):
        (await gateway.post("registered-models/alias", "DELETE", name="iris", alias="a-1")).found()
    (await gateway.post("model-versions/delete", "DELETE", name="iris", version="2")).found()
    gone = await gateway.get("registered-models/alias", name="iris", alias="champion")
    assert gone.error == (400, "INVALID_PARAMETER_VALUE", "Registered model alias champion not found.")
    assert (await get_model(gateway))["aliases"] == []


@pytest.mark.parametrize("alias", ["latest", "Latest", "v1", "V12", "a b", "a/b", "a@b", "é"])
async def test_an_alias_is_not_what_clients_take_for_something_else(gateway: Gateway, alias: str) -> None:
    await register(gateway, versions=1)

    answer = await gateway.post("registered-models/alias", name="iris", alias=alias, version="1")

    assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE")
    assert "for parameter 'alias' supplied: " in answer.error[2]


async def test_stages_say_which_version_is_the_latest_of_each(gateway: Gateway) -> None:
    await register(gateway, versions=5)
    for version, stage in ((1, "staging"), (2, "Production"), (3, "PRODUCTION"), (4, "Archived")):
        assert (await move(gateway, version, stage)).found()["model_version"]["current_stage"] == stage.capitalize()

    assert await latest(gateway) == {"Staging": "1", "Production": "3", "Archived": "4", "None": "5"}
    assert await latest(gateway, stages=["production", "None"]) == {"Production": "3", "None": "5"}
    by_get = await gateway.get("registered-models/get-latest-versions", name="iris", stages=["Staging", "Archived"])
    assert [each["version"] for each in by_get.found()["model_versions"]] == ["1", "4"]

    (await move(gateway, 5, "Production", archive_existing_versions=True)).found()
    assert await latest(gateway) == {"Staging": "1", "Production": "5", "Archived": "4"}
    assert (await get_version(gateway, 2))["current_stage"] == "Archived"
    (await move(gateway, 5, "Production", archive_existing_versions=True)).found()
    assert (await get_version(gateway, 5))["current_stage"] == "Production"


async def test_what_is_no_stage_is_refused(gateway: Gateway) -> None:
    await register(gateway, versions=1)

    unknown = "Invalid Model Version stage: live. Value must be one of None, Staging, Production, Archived."
    assert (await move(gateway, 1, "live")).error == (400, "INVALID_PARAMETER_VALUE", unknown)
    answer = await gateway.post("registered-models/get-latest-versions", name="iris", stages=["live"])
    assert answer.error == (400, "INVALID_PARAMETER_VALUE", unknown)
    for stage in ("None", "Archived"):
        message = (await move(gateway, 1, stage, archive_existing_versions=True)).error[2]
        assert message == (
            f"Model version transition cannot archive existing model versions because '{stage}' is not an Active stage."
            " Valid stages are Staging, Production"
        )


async def test_what_is_not_there_is_named(gateway: Gateway) -> None:
    await register(gateway, versions=1)
    of_models = {
        "get": {},
        "update": {},
        "rename": {"new_name": "n"},
        "delete": {},
        "set-tag": {"key": "k"},
        "delete-tag": {"key": "k"},
        "get-latest-versions": {},
    }
    for endpoint, body in of_models.items():
        assert (await ask(gateway, f"registered-models/{endpoint}", name="none", **body)).error == NO_MODEL, endpoint
    for method, version in (("POST", "1"), ("DELETE", None), ("GET", None)):
        alias = {"name": "none", "alias": "a"} | ({"version": version} if version else {})
        answer = await ask(gateway, "registered-models/alias", method, **alias)
        missing = "Model Version (name=none, version=1) not found" if version else NO_MODEL[2]
        assert answer.error == (404, "RESOURCE_DOES_NOT_EXIST", missing)
    assert (await gateway.post("model-versions/create", name="none", source="s")).error == NO_MODEL
    of_versions = {
        "get": {},
        "get-download-uri": {},
        "update": {},
        "delete": {},
        "transition-stage": {"stage": "None"},
        "set-tag": {"key": "k"},
        "delete-tag": {"key": "k"},
    }
    for name, version in (("none", "1"), ("iris", "2")):
        message = f"Model Version (name={name}, version={version}) not found"
        for endpoint, body in of_versions.items():
            answer = await ask(gateway, f"model-versions/{endpoint}", name=name, version=version, **body)
            assert answer.error == (404, "RESOURCE_DOES_NOT_EXIST", message), endpoint


METHODS = {"get": "GET", "get-download-uri": "GET", "update": "PATCH", "delete": "DELETE", "delete-tag": "DELETE"}


async def ask(gateway: Gateway, endpoint: str, method: str = "", **body: Any) -> Answered:
    """Asks an endpoint by its method."""
    chosen = method or METHODS.get(endpoint.rpartition("/")[2], "POST")
    return await gateway.get(endpoint, **body) if chosen == "GET" else await gateway.post(endpoint, chosen, **body)


async def test_what_is_missing_in_a_request_is_named(gateway: Gateway) -> None:
    for endpoint, body, missing in (
        ("registered-models/create", {}, "name"),
        ("registered-models/create", {"name": "n", "tags": [{}]}, "tags[0].key"),
        ("registered-models/get", {"name": ""}, "name"),
        ("registered-models/rename", {"name": "n"}, "new_name"),
        ("registered-models/alias", {"name": "n", "version": "1"}, "alias"),
        ("registered-models/alias", {"name": "n", "alias": "a"}, "version"),
        ("registered-models/set-tag", {"name": "n"}, "key"),
        ("model-versions/create", {"name": "n"}, "source"),
        ("model-versions/get", {"name": "n"}, "version"),
        ("model-versions/transition-stage", {"name": "n", "version": "1"}, "stage"),
    ):
        answer = await ask(gateway, endpoint, **body)
        expected = f"Missing value for required parameter '{missing}'."
        assert answer.error == (400, "INVALID_PARAMETER_VALUE", expected), endpoint
    for version in ("0", "-1", "x", "1.5", 0, "1" * 10):
        answer = await gateway.post("model-versions/delete", "DELETE", name="n", version=version)
        assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert "for parameter 'version' supplied" in answer.error[2]


@pytest.mark.parametrize("name", ["a/b", "a:b", ".", "..", "a\tb", " a", "a ", "e\u0301", "n" * 257])
async def test_names_are_refused_that_nobody_could_ask_for(gateway: Gateway, name: str) -> None:
    await register(gateway)

    for endpoint, body in (("create", {"name": name}), ("rename", {"name": "iris", "new_name": name})):
        answer = await gateway.post(f"registered-models/{endpoint}", **body)
        assert answer.error[:2] == (400, "INVALID_PARAMETER_VALUE")
        assert f"for parameter '{list(body)[-1]}' supplied: " in answer.error[2]


async def test_each_limit_of_the_registry_holds_to_the_character(gateway: Gateway) -> None:
    await register(gateway, "é" * 256, description="d" * 65_535)
    await register(gateway, versions=1)
    version = {"name": "iris", "version": "1"}
    for endpoint, of in (("registered-models", {"name": "iris"}), ("model-versions", version)):
        for key, value, status in ((250, 100_000, 200), (251, 1, 400), (1, 100_001, 400)):
            tag = {"key": "k" * key, "value": "v" * value}
            assert (await gateway.post(f"{endpoint}/set-tag", **of, **tag)).status == status
            name = f"n{key}-{value}" if endpoint == "registered-models" else "iris"
            assert (await gateway.post(f"{endpoint}/create", name=name, source="s", tags=[tag])).status == status
        for length, status in ((65_535, 200), (65_536, 400)):
            answer = await gateway.post(f"{endpoint}/update", "PATCH", **of, description="d" * length)
            assert answer.status == status
    for field, most in (("source", 2_000), ("run_link", 2_000), ("run_id", 256), ("model_id", 256)):
        for length, status in ((most, 200), (most + 1, 400)):
            body = {"name": "iris", "source": "s"} | {field: "x" * length}
            assert (await gateway.post("model-versions/create", **body)).status == status
    for length, status in ((255, 200), (256, 400)):
        answer = await gateway.post("registered-models/alias", name="iris", alias="a" * length, version="1")
        assert answer.status == status


async def test_tags_and_aliases_are_bounded(gateway: Gateway, postgres: Postgres) -> None:
    await register(gateway, versions=1)
    await postgres.execute(
        "INSERT INTO gateway.registered_model_tag SELECT 'space', 'iris', n, '' FROM generate_series(2, $1) n",
        MAX_TAGS,
    )
    await postgres.execute(
        "INSERT INTO gateway.model_alias SELECT 'space', 'iris', n, 1 FROM generate_series(2, $1) n",
        MAX_ALIASES,
    )
    for name, status in (("last", 200), ("too-many", 400), ("last", 200)):
        assert (await gateway.post("registered-models/set-tag", name="iris", key=name)).status == status
        answer = await gateway.post("registered-models/alias", name="iris", alias=name, version="1")
        assert answer.status == status
    tags = [{"key": str(number)} for number in range(1_001)]
    for count, status in ((1_000, 200), (1_001, 400)):
        answer = await gateway.post("model-versions/create", name="iris", source="s", tags=tags[:count])
        assert answer.status == status
    long = [{"key": str(number), "value": "v" * 100_000} for number in range(168)]
    refused = await gateway.post_large("registered-models/create", name="long", tags=long)
    assert refused.error[2] == "Up to 1000 tags are taken, with values of up to 16777216 bytes together"
    assert (await gateway.get("registered-models/get", name="long")).status == 404
