"""Versions of registered models whose making is told a second time, and what their sources mean."""

from typing import Any

import pytest

from runstream_server.auth import Role
from runstream_server.config import Config
from runstream_server.gateway.store.logged_models import LoggedModel, LoggedModelStore
from runstream_server.postgres import Postgres, open_postgres
from tests.conftest import Backend
from tests.gateways import Answered, Gateway, open_gateway
from tests.guarded import guarded_services
from tests.make_runs import make_run

MODEL = "m-" + "1" * 32
FOREIGN = "m-" + "2" * 32

_UNSETTLED = """
CREATE FUNCTION gateway.lose() RETURNS trigger LANGUAGE plpgsql AS
    $$ BEGIN RAISE EXCEPTION USING ERRCODE = 'admin_shutdown'; END $$;
CREATE TRIGGER lose BEFORE UPDATE OF request ON gateway.model_version
   FOR EACH ROW EXECUTE FUNCTION gateway.lose();
"""


async def create(gateway: Gateway, **body: Any) -> Answered:
    """Makes a version of `iris`."""
    return await gateway.post("model-versions/create", **({"name": "iris", "source": "s3://files"} | body))


async def created(gateway: Gateway, **body: Any) -> str:
    """The number of a version that is made."""
    return str((await create(gateway, **body)).found()["model_version"]["version"])


async def add_model(postgres: Postgres, model_id: str, run: str) -> None:
    """Logs a model."""
    await LoggedModelStore(postgres).add(
        LoggedModel(
            workspace="space",
            model_id=model_id,
            experiment_number=7,
            run=run,
            has_source_run=True,
            name="model",
            model_type="",
            create_ms=0,
            update_ms=0,
        )
    )


@pytest.fixture
async def lost(gateway: Gateway, postgres: Postgres) -> None:
    """A version of `iris` whose maker was told of no outcome."""
    (await gateway.post("registered-models/create", name="iris")).found()
    await postgres.execute(_UNSETTLED)
    answer = await create(gateway)
    assert (answer.status, answer.body["error_code"]) == (503, "TEMPORARILY_UNAVAILABLE")
    await postgres.execute("DROP TRIGGER lose ON gateway.model_version")


async def test_a_request_of_unknown_outcome_that_is_repeated_makes_no_second_version(
    gateway: Gateway, lost: None
) -> None:
    assert [await created(gateway) for _ in range(3)] == ["1", "2", "3"]


async def test_another_request_is_not_taken_for_a_repetition(gateway: Gateway, lost: None) -> None:
    others: list[dict[str, Any]] = [
        {"source": "s"},
        {"run_id": "r"},
        {"model_id": "m"},
        {"description": "d"},
        {"run_link": "l"},
    ]
    others.append({"tags": [{"key": "k", "value": "v"}]})

    assert [await created(gateway, **other) for other in others] == ["2", "3", "4", "5", "6", "7"]
    assert await created(gateway) == "1"


async def test_a_request_that_another_process_has_begun_is_asked_for_again_until_that_must_be_over(
    gateway: Gateway, lost: None, postgres: Postgres
) -> None:
    await postgres.execute("UPDATE gateway.model_version SET maker = 'another'")
    under_way = await create(gateway)
    assert (under_way.status, under_way.headers["Retry-After"]) == (503, "5")

    await postgres.execute("UPDATE gateway.model_version SET create_ms = create_ms - 20_000")
    assert await created(gateway) == "1"


async def test_what_was_lost_long_ago_is_repeated_by_nobody(gateway: Gateway, lost: None, postgres: Postgres) -> None:
    await postgres.execute("UPDATE gateway.model_version SET create_ms = create_ms - 20 * 60 * 1_000")

    assert await created(gateway) == "2"


async def test_a_source_keeps_its_meaning(backend: Backend, gateway: Gateway, postgres: Postgres, run: str) -> None:
    await add_model(postgres, MODEL, "run")
    (await gateway.post("registered-models/create", name="iris")).found()
    (await gateway.post("registered-models/create", name="rose")).found()
    files = f"mlflow-artifacts:/7/models/{MODEL}/artifacts"
    assert (await create(gateway, source=f"models:/{MODEL}")).found()["model_version"]["model_id"] == MODEL
    await created(gateway)
    alias = {"name": "iris", "alias": "best"}
    (await gateway.post("registered-models/alias", **alias, version="1")).found()
    for source in ("models:/iris/1", "models:/iris@best", "models:/iris/2"):
        await created(gateway, name="rose", source=source)
    (await gateway.post("registered-models/alias", **alias, version="2")).found()
    (await gateway.post("registered-models/delete", "DELETE", name="iris")).found()

    found = [await gateway.get("model-versions/get-download-uri", name="rose", version=each) for each in (1, 2, 3)]
    assert [each.found()["artifact_uri"] for each in found] == [files, files, "s3://files"]
    shown = (await gateway.get("model-versions/get", name="rose", version=2)).found()["model_version"]
    assert (shown["source"], shown["model_id"]) == ("models:/iris@best", MODEL)


async def test_a_source_that_means_nothing_is_refused(gateway: Gateway, postgres: Postgres, run: str) -> None:
    await add_model(postgres, MODEL, "run")
    await LoggedModelStore(postgres).delete("space", MODEL, 1)
    await add_model(postgres, FOREIGN, "gone")
    (await gateway.post("registered-models/create", name="iris")).found()

    for source, status, message in (
        (f"models:/{MODEL}", 404, f"Logged model with id={MODEL} not found"),
        (f"models:/{FOREIGN}", 404, f"Logged model with id={FOREIGN} not found"),
        ("models:/iris/1", 404, "Model Version (name=iris, version=1) not found"),
        ("models:/iris@best", 400, "Registered model alias best not found."),
        ("models:/iris", 400, "Invalid model version source: 'models:/iris'. Expected models:/MODEL_ID, "),
    ):
        answer = await create(gateway, source=source)
        assert (answer.status, answer.body["message"][: len(message)]) == (status, message)
    assert (await gateway.get("model-versions/search")).found() == {"model_versions": []}


async def test_workspaces_have_registries_of_their_own(backend: Backend, gateway: Gateway) -> None:
    async with open_gateway(backend.channel, "other") as other:
        for each in (gateway, other):
            (await each.post("registered-models/create", name="iris")).found()
            assert await created(each) == "1"
        (await gateway.post("registered-models/alias", name="iris", alias="best", version="1")).found()
        assert (await other.get("registered-models/alias", name="iris", alias="best")).status == 400
        assert (await other.post("registered-models/delete", "DELETE", name="iris")).status == 200
        assert (await other.get("model-versions/search")).found() == {"model_versions": []}
        assert len((await gateway.get("model-versions/search")).found()["model_versions"]) == 1


READS = {
    "registered-models/get": {"name": "iris"},
    "registered-models/search": {},
    "registered-models/get-latest-versions": {"name": "iris"},
    "registered-models/alias": {"name": "iris", "alias": "own"},
    "model-versions/get": {"name": "iris", "version": "1"},
    "model-versions/get-download-uri": {"name": "iris", "version": "1"},
    "model-versions/search": {},
}

WRITES = (
    ("POST", "registered-models/create", {"name": "new"}),
    ("POST", "registered-models/rename", {"name": "new", "new_name": "newer"}),
    ("PATCH", "registered-models/update", {"name": "newer"}),
    ("POST", "registered-models/set-tag", {"name": "newer", "key": "k"}),
    ("DELETE", "registered-models/delete-tag", {"name": "newer", "key": "k"}),
    ("DELETE", "registered-models/delete", {"name": "newer"}),
    ("PATCH", "model-versions/update", {"name": "iris", "version": "1"}),
    ("POST", "model-versions/set-tag", {"name": "iris", "version": "1", "key": "k"}),
    ("DELETE", "model-versions/delete-tag", {"name": "iris", "version": "1", "key": "k"}),
    ("POST", "model-versions/transition-stage", {"name": "iris", "version": "1", "stage": "None"}),
    ("POST", "registered-models/alias", {"name": "iris", "alias": "own", "version": "1"}),
    ("DELETE", "registered-models/alias", {"name": "iris", "alias": "none"}),
    ("DELETE", "model-versions/delete", {"name": "iris", "version": "3"}),
)

SINGLE = ("registered-models/alias", "model-versions/get", "model-versions/get-download-uri")


async def test_readers_read_writers_write_and_runs_do_what_concerns_them(config: Config) -> None:
    async with guarded_services(config) as guarded, open_postgres(config.postgres) as postgres:
        for run_id, model_id in (("run", MODEL), ("foreign", FOREIGN)):
            await make_run(guarded.channel, run_id)
            await add_model(postgres, model_id, run_id)
        secrets = [(await guarded.token(Role.WRITER))[1], (await guarded.token(Role.READER))[1]]
        secrets.append((await guarded.token(Role.RUN, run="run"))[1])
        async with (
            open_gateway(guarded.channel, secret=secrets[0]) as writer,
            open_gateway(guarded.channel, secret=secrets[1]) as reader,
            open_gateway(guarded.channel, secret=secrets[2]) as of_run,
        ):
            await _fill(writer)
            for method, endpoint, body in WRITES:
                for each in (reader, of_run):
                    assert (await each.post(endpoint, method, **body)).status == 403, endpoint
                assert (await writer.post(endpoint, method, **body)).status == 200, endpoint
            assert (await create(reader)).status == 403
            for endpoint, query in READS.items():
                assert (await reader.get(endpoint, **query)).status == 200, endpoint
                assert (await of_run.get(endpoint, **query)).status == (200 if endpoint in SINGLE else 403), endpoint
            await _check_confined(of_run)


async def _fill(writer: Gateway) -> None:
    """Version 1 is of the run, 2 of a run of somebody else, 3 of none."""
    (await writer.post("registered-models/create", name="iris")).found()
    for number, run in enumerate(("run", "foreign", ""), 1):
        assert await created(writer, run_id=run) == str(number)
    for alias, version in (("own", "1"), ("foreign", "2")):
        (await writer.post("registered-models/alias", name="iris", alias=alias, version=version)).found()


async def _check_confined(of_run: Gateway) -> None:
    """What it does not reach it is told of in the words for what does not exist."""
    for version in ("2", "3", "9"):
        answer = await of_run.get("model-versions/get", name="iris", version=version)
        assert answer.error[2] == f"Model Version (name=iris, version={version}) not found"
    for name, alias in (("iris", "foreign"), ("iris", "none"), ("none", "none")):
        answer = await of_run.get("registered-models/alias", name=name, alias=alias)
        assert answer.error == (400, "INVALID_PARAMETER_VALUE", f"Registered model alias {alias} not found.")
    taken = await of_run.post("registered-models/create", name="iris")
    assert (taken.status, taken.body["error_code"]) == (400, "RESOURCE_ALREADY_EXISTS")
    for body, status in (
        ({"run_id": "run"}, 200),
        ({"source": f"models:/{MODEL}"}, 200),
        ({"run_id": "run", "source": "models:/iris@own"}, 200),
        ({}, 404),
        ({"run_id": "foreign"}, 404),
        ({"run_id": "run", "model_id": FOREIGN}, 404),
        ({"run_id": "run", "source": f"models:/{FOREIGN}"}, 404),
        ({"run_id": "run", "source": "models:/iris/2"}, 404),
    ):
        assert (await create(of_run, **body)).status == status, body
