"""Keeps versions of registered models."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstream_server.gateway.store.registry import STAGES, ModelVersion, VersionMissing, lock_model, touch_model
from runstream_server.gateway.store.registry_tags import VERSION_TAGS
from runstream_server.postgres import Connection, Postgres

_BATCH = 1_000

_COLUMNS = """
    version.name, version.version, description, create_ms, update_ms, stage, source, storage, run, run_link, model,
    (SELECT coalesce(jsonb_object_agg(key, value), '{}') FROM gateway.model_version_tag tag
      WHERE tag.workspace = version.workspace AND tag.name = version.name AND tag.version = version.version) AS tags,
    ARRAY(SELECT alias FROM gateway.model_alias alias
           WHERE alias.workspace = version.workspace AND alias.name = version.name AND alias.version = version.version
           ORDER BY alias) AS aliases
"""

_FIND = f"""
SELECT {_COLUMNS}
  FROM unnest($2::text[], $3::integer[]) WITH ORDINALITY asked (name, version, place)
  JOIN gateway.model_version version
    ON version.workspace = $1 AND version.name = asked.name AND version.version = asked.version
 ORDER BY place
"""

LATEST = f"""
SELECT {_COLUMNS}
  FROM unnest($2::text[]) asked (of_name)
 CROSS JOIN unnest($3::text[]) wanted (in_stage)
 CROSS JOIN LATERAL (
      SELECT *
        FROM gateway.model_version
       WHERE workspace = $1 AND name = of_name AND stage = in_stage
       ORDER BY version DESC
       LIMIT 1
  ) version
 ORDER BY name, version
"""

_UPDATE = """
UPDATE gateway.model_version SET description = $4, update_ms = greatest(update_ms, $5)
 WHERE workspace = $1 AND name = $2 AND version = $3
RETURNING version
"""

_MOVE = """
UPDATE gateway.model_version SET stage = $4, update_ms = greatest(update_ms, $5)
 WHERE workspace = $1 AND name = $2 AND version = $3
RETURNING version
"""

_ARCHIVE_OTHERS = """
UPDATE gateway.model_version SET stage = 'Archived', update_ms = greatest(update_ms, $5)
 WHERE workspace = $1 AND name = $2 AND version <> $3 AND stage = $4
"""

_DELETE = """
DELETE FROM gateway.model_version WHERE workspace = $1 AND name = $2 AND version = $3 RETURNING version
"""

_EXISTS = "SELECT version FROM gateway.model_version WHERE workspace = $1 AND name = $2 AND version = $3"

_SCAN = f"""
SELECT name, version, create_ms, update_ms, stage, source, run, model,
       octet_length(description) + octet_length(source) + octet_length(run_link) + (
           SELECT coalesce(sum(octet_length(key) + octet_length(value)), 0) FROM gateway.model_version_tag tag
            WHERE tag.workspace = known.workspace AND tag.name = known.name AND tag.version = known.version
       ) AS size_bytes,
       (SELECT coalesce(jsonb_object_agg(key, value), '{{}}') FROM gateway.model_version_tag tag
         WHERE tag.workspace = known.workspace AND tag.name = known.name AND tag.version = known.version
           AND key = ANY ($6::text[])) AS tags
  FROM gateway.model_version known
 WHERE workspace = $1 AND (name, version) > ($2, $3)
   AND ($4::text IS NULL OR name = $4) AND ($5::text IS NULL OR run = $5)
 ORDER BY name, version
 LIMIT {_BATCH}
"""


@dataclass(frozen=True, slots=True)
class ScannedVersion:
    """What is searched of a version."""

    name: str
    version: int
    create_ms: int
    update_ms: int
    stage: str
    source: str
    run: str
    model: str

    size_bytes: int
    """About how long it is as a whole."""

    tags: Mapping[str, str]
    """Those that were asked for."""


class ModelVersionStore:
    """Keeps versions in Postgres."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def get(self, workspace: str, name: str, version: int) -> ModelVersion:
        """Returns a version; raises VersionMissing."""
        found = await self.find_all(workspace, [(name, version)])
        if not found:
            raise VersionMissing
        return found[0]

    async def find_all(self, workspace: str, versions: Sequence[tuple[str, int]]) -> Sequence[ModelVersion]:
        """Returns versions in this order; those that are not there are left out."""
        names, numbers = [name for name, _ in versions], [version for _, version in versions]
        return [_version(row) for row in await self._postgres.fetch(_FIND, workspace, names, numbers)]

    async def latest(self, workspace: str, names: Sequence[str]) -> Mapping[str, Sequence[ModelVersion]]:
        """Returns the latest version in each stage of registered models, by name; in order of version."""
        found: dict[str, list[ModelVersion]] = defaultdict(list)
        for row in await self._postgres.fetch(LATEST, workspace, names, STAGES) if names else ():
            found[row["name"]].append(_version(row))
        return found

    async def update(self, workspace: str, name: str, version: int, description: str, at_ms: int) -> None:
        """Changes the description; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            if await transaction.fetchval(_UPDATE, workspace, name, version, description, at_ms) is None:
                raise VersionMissing
            await touch_model(transaction, workspace, name, at_ms)

    async def move(
        self, workspace: str, name: str, version: int, stage: str, at_ms: int, *, archive_others: bool
    ) -> None:
        """Changes the stage, and that of the others which are in it to `Archived` if wanted.

        Raises ModelMissing and VersionMissing.
        """
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            if await transaction.fetchval(_MOVE, workspace, name, version, stage, at_ms) is None:
                raise VersionMissing
            if archive_others:
                await transaction.execute(_ARCHIVE_OTHERS, workspace, name, version, stage, at_ms)
            await touch_model(transaction, workspace, name, at_ms)

    async def delete(self, workspace: str, name: str, version: int, at_ms: int) -> None:
        """Deletes a version and the aliases that mean it; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            if await transaction.fetchval(_DELETE, workspace, name, version) is None:
                raise VersionMissing
            await touch_model(transaction, workspace, name, at_ms)

    async def set_tags(self, workspace: str, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Sets tags; raises ModelMissing, VersionMissing and TooManyTags."""
        async with self._postgres.transaction() as transaction:
            await _lock(transaction, workspace, name, version)
            await VERSION_TAGS.set(transaction, workspace, name, version, tags=tags)

    async def delete_tag(self, workspace: str, name: str, version: int, key: str) -> None:
        """Removes a tag, if it is there; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await _lock(transaction, workspace, name, version)
            await VERSION_TAGS.remove(transaction, workspace, name, version, key=key)

    async def scan(
        self, workspace: str, name: str | None, run: str | None, tags: Sequence[str]
    ) -> AsyncIterator[ScannedVersion]:
        """What is searched of all versions, or of those of a name or a run, in order; `tags` are keys."""
        after = ("", 0)
        while True:
            rows = await self._postgres.fetch(_SCAN, workspace, *after, name, run, tags)
            for row in rows:
                yield ScannedVersion(*row)
            if len(rows) < _BATCH:
                return
            after = rows[-1]["name"], rows[-1]["version"]


async def _lock(transaction: Connection, workspace: str, name: str, version: int) -> None:
    await lock_model(transaction, workspace, name)
    if await transaction.fetchval(_EXISTS, workspace, name, version) is None:
        raise VersionMissing


def _version(row: Any) -> ModelVersion:
    return ModelVersion(**{**row, "tags": dict(sorted(row["tags"].items())), "aliases": tuple(row["aliases"])})
