"""Makes versions of registered models, one for each request that is meant so."""

from collections.abc import Mapping
from dataclasses import dataclass

from runstream_server.gateway.store.registry import lock_model, touch_model
from runstream_server.gateway.store.registry_tags import VERSION_TAGS
from runstream_server.postgres import Connection, Postgres

REPEATED_MS = 20 * 60 * 1_000
"""For how long a request is repeated whose outcome its sender does not know."""

_UNDER_WAY_MS = 20_000

REPEATED = """
SELECT version, maker <> $4 AND create_ms > $5 AS is_under_way
  FROM gateway.model_version
 WHERE workspace = $1 AND name = $2 AND request = $3 AND create_ms > $6
 ORDER BY version DESC
 LIMIT 1
"""

_NEXT_VERSION = """
INSERT INTO gateway.registered_model_count AS known (workspace, name, last_version) VALUES ($1, $2, 1)
ON CONFLICT (workspace, name) DO UPDATE SET last_version = known.last_version + 1
RETURNING last_version
"""

_ADD = """
INSERT INTO gateway.model_version
       (workspace, name, version, description, create_ms, update_ms, stage, source, storage, run, run_link, model,
        request, maker)
VALUES ($1, $2, $3, $4, $5, $5, 'None', $6, $7, $8, $9, $10, $11, $12)
"""

_SETTLE = "UPDATE gateway.model_version SET request = NULL WHERE workspace = $1 AND name = $2 AND version = $3"


@dataclass(frozen=True, slots=True, kw_only=True)
class NewVersion:
    """What a version is made of."""

    name: str
    description: str
    source: str
    storage: str
    run: str
    run_link: str
    model: str
    tags: Mapping[str, str]

    request: bytes
    """A digest of all of the request, by which its repetition is known."""

    maker: str
    """The process that handles the request."""


class UnderWay(Exception):
    """Another process handles an equal request at this moment, or died over it a moment ago."""


class NewVersionStore:
    """Numbers versions in Postgres, and knows repetitions of requests whose answer nobody can have had."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def add(self, workspace: str, new: NewVersion, at_ms: int) -> int:
        """Adds a version and returns its number; that of an earlier one where the request repeats one that is not
        settled: whose answer, then, nobody can have.

        No two equal requests may be on their way in one process. Raises ModelMissing, TooManyTags and UnderWay.
        """
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, new.name)
            repeated = await _repeated(transaction, workspace, new, at_ms)
            if repeated is not None:
                return repeated
            version: int = await transaction.fetchval(_NEXT_VERSION, workspace, new.name)
            await _add(transaction, workspace, version, new, at_ms)
            await VERSION_TAGS.set(transaction, workspace, new.name, version, tags=new.tags)
            await touch_model(transaction, workspace, new.name, at_ms)
        return version

    async def settle(self, workspace: str, name: str, version: int) -> None:
        """Notes that the request that made a version is being answered: an equal one that follows is meant so."""
        await self._postgres.execute(_SETTLE, workspace, name, version)


async def _repeated(transaction: Connection, workspace: str, new: NewVersion, at_ms: int) -> int | None:
    row = await transaction.fetchrow(
        REPEATED, workspace, new.name, new.request, new.maker, at_ms - _UNDER_WAY_MS, at_ms - REPEATED_MS
    )
    if row is None:
        return None
    if row["is_under_way"]:
        raise UnderWay
    version: int = row["version"]
    return version


async def _add(transaction: Connection, workspace: str, version: int, new: NewVersion, at_ms: int) -> None:
    await transaction.execute(
        _ADD,
        workspace,
        new.name,
        version,
        new.description,
        at_ms,
        new.source,
        new.storage,
        new.run,
        new.run_link,
        new.model,
        new.request,
        new.maker,
    )
