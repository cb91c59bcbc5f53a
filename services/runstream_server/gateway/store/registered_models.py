"""Keeps registered models, their tags and aliases."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import asyncpg

from runstream_server.gateway.store.model_versions import ModelVersionStore
from runstream_server.gateway.store.registry import (
    MAX_ALIASES,
    ModelMissing,
    NameInUse,
    RegisteredModel,
    TooManyAliases,
    VersionMissing,
    lock_model,
)
from runstream_server.gateway.store.registry_tags import MODEL_TAGS
from runstream_server.postgres import Postgres

_BATCH = 1_000

_ADD = """
INSERT INTO gateway.registered_model (workspace, name, description, create_ms, update_ms) VALUES ($1, $2, $3, $4, $4)
ON CONFLICT DO NOTHING
RETURNING name
"""

_FIND = """
SELECT name, description, create_ms, update_ms,
       (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM gateway.registered_model_tag tag
         WHERE tag.workspace = model.workspace AND tag.name = model.name) AS tags,
       (SELECT coalesce(jsonb_object_agg(alias, version), '{}') FROM gateway.model_alias alias
         WHERE alias.workspace = model.workspace AND alias.name = model.name) AS aliases
  FROM gateway.registered_model model
 WHERE workspace = $1 AND name = ANY ($2::text[])
"""

_UPDATE = """
UPDATE gateway.registered_model SET description = $3, update_ms = greatest(update_ms, $4)
 WHERE workspace = $1 AND name = $2
RETURNING name
"""

_RENAME = """
UPDATE gateway.registered_model SET name = $3, update_ms = greatest(update_ms, $4) WHERE workspace = $1 AND name = $2
"""

_TAKE_COUNT_ALONG = """
INSERT INTO gateway.registered_model_count AS known (workspace, name, last_version)
SELECT workspace, $3, last_version FROM gateway.registered_model_count WHERE workspace = $1 AND name = $2
ON CONFLICT (workspace, name) DO UPDATE SET last_version = greatest(known.last_version, excluded.last_version)
"""

_DELETE = "DELETE FROM gateway.registered_model WHERE workspace = $1 AND name = $2 RETURNING name"

_SET_ALIAS = """
INSERT INTO gateway.model_alias (workspace, name, alias, version) VALUES ($1, $2, $3, $4)
ON CONFLICT (workspace, name, alias) DO UPDATE SET version = excluded.version
"""

_COUNT_ALIASES = "SELECT count(*) FROM gateway.model_alias WHERE workspace = $1 AND name = $2"

_DELETE_ALIAS = "DELETE FROM gateway.model_alias WHERE workspace = $1 AND name = $2 AND alias = $3"

_FIND_ALIAS = "SELECT version FROM gateway.model_alias WHERE workspace = $1 AND name = $2 AND alias = $3"

_SCAN = f"""
SELECT name, create_ms, update_ms,
       (SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM gateway.registered_model_tag tag
         WHERE tag.workspace = model.workspace AND tag.name = model.name AND key = ANY ($4::text[])) AS tags,
       octet_length(description) + (
           SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0) FROM gateway.registered_model_tag tag
            WHERE tag.workspace = model.workspace AND tag.name = model.name
       ) AS size_bytes
  FROM gateway.registered_model model
 WHERE workspace = $1 AND name > $2 AND ($3::text IS NULL OR name = $3)
 ORDER BY name
 LIMIT {_BATCH}
"""


@dataclass(frozen=True, slots=True)
class ScannedModel:
    """What is searched of a registered model."""

    name: str
    create_ms: int
    update_ms: int

    tags: Mapping[str, str]
    """Those that were asked for."""

    size_bytes: int
    """About how long it is as a whole."""


class RegisteredModelStore:
    """Keeps registered models in Postgres."""

    def __init__(self, postgres: Postgres, versions: ModelVersionStore) -> None:
        self._postgres = postgres
        self._versions = versions

    async def add(self, workspace: str, name: str, description: str, tags: Mapping[str, str], at_ms: int) -> None:
        """Adds a name; raises NameInUse and TooManyTags."""
        async with self._postgres.transaction() as transaction:
            if await transaction.fetchval(_ADD, workspace, name, description, at_ms) is None:
                raise NameInUse
            await MODEL_TAGS.set(transaction, workspace, name, tags=tags)

    async def exists(self, workspace: str, name: str) -> bool:
        """Whether there is a name."""
        return bool(await self._postgres.fetch(_FIND, workspace, [name]))

    async def find_all(self, workspace: str, names: Sequence[str]) -> Sequence[RegisteredModel]:
        """Returns registered models in the order of their names here; those that are not there are left out."""
        rows = {row["name"]: row for row in await self._postgres.fetch(_FIND, workspace, names)}
        latest = await self._versions.latest(workspace, list(rows))
        return [replace(_model(rows[name]), latest=latest.get(name, ())) for name in names if name in rows]

    async def get(self, workspace: str, name: str) -> RegisteredModel:
        """Returns a registered model; raises ModelMissing."""
        found = await self.find_all(workspace, [name])
        if not found:
            raise ModelMissing
        return found[0]

    async def update(self, workspace: str, name: str, description: str, at_ms: int) -> None:
        """Changes the description; raises ModelMissing."""
        if await self._postgres.fetchval(_UPDATE, workspace, name, description, at_ms) is None:
            raise ModelMissing

    async def rename(self, workspace: str, name: str, new_name: str, at_ms: int) -> None:
        """Changes the name, also that of all versions; raises ModelMissing and NameInUse."""
        try:
            async with self._postgres.transaction() as transaction:
                await lock_model(transaction, workspace, name)
                await transaction.execute(_RENAME, workspace, name, new_name, at_ms)
                if name != new_name:
                    await transaction.execute(_TAKE_COUNT_ALONG, workspace, name, new_name)
        except asyncpg.UniqueViolationError:
            raise NameInUse from None

    async def delete(self, workspace: str, name: str) -> None:
        """Deletes a registered model with its versions; raises ModelMissing."""
        if await self._postgres.fetchval(_DELETE, workspace, name) is None:
            raise ModelMissing

    async def set_tags(self, workspace: str, name: str, tags: Mapping[str, str]) -> None:
        """Sets tags; raises ModelMissing and TooManyTags."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            await MODEL_TAGS.set(transaction, workspace, name, tags=tags)

    async def delete_tag(self, workspace: str, name: str, key: str) -> None:
        """Removes a tag, if it is there; raises ModelMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            await MODEL_TAGS.remove(transaction, workspace, name, key=key)

    async def set_alias(self, workspace: str, name: str, alias: str, version: int) -> None:
        """Lets an alias mean a version, and none of the others any more.

        Raises ModelMissing, VersionMissing and TooManyAliases.
        """
        try:
            async with self._postgres.transaction() as transaction:
                await lock_model(transaction, workspace, name)
                await transaction.execute(_SET_ALIAS, workspace, name, alias, version)
                if await transaction.fetchval(_COUNT_ALIASES, workspace, name) > MAX_ALIASES:
                    raise TooManyAliases
        except asyncpg.ForeignKeyViolationError:
            raise VersionMissing from None

    async def delete_alias(self, workspace: str, name: str, alias: str) -> None:
        """Removes an alias, if it is there; raises ModelMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            await transaction.execute(_DELETE_ALIAS, workspace, name, alias)

    async def find_alias(self, workspace: str, name: str, alias: str) -> int | None:
        """The version that an alias means; None if there is no such alias."""
        version: int | None = await self._postgres.fetchval(_FIND_ALIAS, workspace, name, alias)
        return version

    async def scan(self, workspace: str, name: str | None, tags: Sequence[str]) -> AsyncIterator[ScannedModel]:
        """What is searched of all registered models, or that of one name, in order of name; `tags` are keys."""
        after = ""
        while True:
            rows = await self._postgres.fetch(_SCAN, workspace, after, name, tags)
            for row in rows:
                yield ScannedModel(*row)
            if len(rows) < _BATCH:
                return
            after = rows[-1]["name"]


def _model(row: Any) -> RegisteredModel:
    return RegisteredModel(
        name=row["name"],
        description=row["description"],
        create_ms=row["create_ms"],
        update_ms=row["update_ms"],
        tags=dict(sorted(row["tags"].items())),
        aliases=dict(sorted(row["aliases"].items())),
    )
