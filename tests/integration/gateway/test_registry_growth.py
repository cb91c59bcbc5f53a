"""What the registry reads of a name does not grow with its versions."""

import pytest

from runstream_server.gateway.store.model_versions import LATEST
from runstream_server.gateway.store.new_versions import REPEATED
from runstream_server.gateway.store.registry import STAGES
from runstream_server.postgres import Postgres
from tests.gateways import Gateway
from tests.query_plans import looked_at

VERSIONS = 10_000
TABLE = "model_version"

FILL = f"""
INSERT INTO gateway.model_version (workspace, name, version, description, create_ms, update_ms, stage, source, storage,
       run, run_link, model, request, maker)
SELECT 'space', 'iris', version, '', 1, 1, CASE WHEN version = 700 THEN 'Staging' ELSE 'None' END, '', '', '', '', '',
       NULL, ''
  FROM generate_series(1, {VERSIONS}) version
"""


@pytest.fixture
async def filled(gateway: Gateway, postgres: Postgres) -> None:
    """The registered model `iris` with 10,000 versions, one of them in Staging."""
    (await gateway.post("registered-models/create", name="iris")).found()
    await postgres.execute(FILL)


async def test_the_latest_versions_are_found_among_many(gateway: Gateway, filled: None, postgres: Postgres) -> None:
    found = (await gateway.get("registered-models/get", name="iris")).found()["registered_model"]["latest_versions"]

    assert [(each["version"], each["current_stage"]) for each in found] == [("700", "Staging"), (f"{VERSIONS}", "None")]
    async with postgres.connection() as connection:
        assert await looked_at(connection, TABLE, LATEST, "space", ["iris"], STAGES) == 2


async def test_a_repetition_is_looked_for_among_what_has_no_answer(filled: None, postgres: Postgres) -> None:
    async with postgres.connection() as connection:
        assert await looked_at(connection, TABLE, REPEATED, "space", "iris", b"digest", "maker", 0, 0) == 0
