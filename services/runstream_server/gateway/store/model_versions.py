"""Keeps versions of registered models."""

from collections import defaultdict
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from runstream_server.gateway.store.registry import (
    MAX_TAG_BYTES,
    MAX_TAGS,
    ModelVersion,
    TooManyTags,
    VersionMissing,
    lock_model,
)
from runstream_server.postgres import Connection, Postgres

REPEATED_MS = 20 * 60 * 1_000
"""For how long a request is repeated whose outcome its sender does not know."""

_UNDER_WAY_MS = 20_000
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

_LATEST = f"""
SELECT {_COLUMNS}
  FROM (
      SELECT DISTINCT ON (name, stage) *
        FROM gateway.model_version
       WHERE workspace = $1 AND name = ANY ($2::text[])
       ORDER BY name, stage, version DESC
  ) version
 ORDER BY name, version
"""

_REPEATED = """
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

_TOUCH = """
UPDATE gateway.registered_model SET update_ms = greatest(update_ms, $3) WHERE workspace = $1 AND name = $2
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

_SET_TAGS = """
INSERT INTO gateway.model_version_tag (workspace, name, version, key, value)
SELECT $1, $2, $3, * FROM unnest($4::text[], $5::text[])
ON CONFLICT (workspace, name, version, key) DO UPDATE SET value = excluded.value
"""

_TOO_MANY_TAGS = f"""
SELECT count(*) > {MAX_TAGS} OR coalesce(sum(octet_length(value)), 0) > {MAX_TAG_BYTES}
  FROM gateway.model_version_tag WHERE workspace = $1 AND name = $2 AND version = $3
"""

_DELETE_TAG = """
DELETE FROM gateway.model_version_tag WHERE workspace = $1 AND name = $2 AND version = $3 AND key = $4
"""

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


class UnderWay(Exception):
    """Another process handles an equal request at this moment, or died over it a moment ago."""


class ModelVersionStore:
    """Keeps versions in Postgres."""

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
            await _set_tags(transaction, workspace, new.name, version, new.tags)
            await transaction.execute(_TOUCH, workspace, new.name, at_ms)
        return version

    async def settle(self, workspace: str, name: str, version: int) -> None:
        """Notes that the request that made a version is being answered: an equal one that follows is meant so."""
        await self._postgres.execute(_SETTLE, workspace, name, version)

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
        for row in await self._postgres.fetch(_LATEST, workspace, names) if names else ():
            found[row["name"]].append(_version(row))
        return found

    async def update(self, workspace: str, name: str, version: int, description: str, at_ms: int) -> None:
        """Changes the description; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            if await transaction.fetchval(_UPDATE, workspace, name, version, description, at_ms) is None:
                raise VersionMissing
            await transaction.execute(_TOUCH, workspace, name, at_ms)

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
            await transaction.execute(_TOUCH, workspace, name, at_ms)

    async def delete(self, workspace: str, name: str, version: int, at_ms: int) -> None:
        """Deletes a version and the aliases that mean it; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await lock_model(transaction, workspace, name)
            if await transaction.fetchval(_DELETE, workspace, name, version) is None:
                raise VersionMissing
            await transaction.execute(_TOUCH, workspace, name, at_ms)

    async def set_tags(self, workspace: str, name: str, version: int, tags: Mapping[str, str]) -> None:
        """Sets tags; raises ModelMissing, VersionMissing and TooManyTags."""
        async with self._postgres.transaction() as transaction:
            await _lock(transaction, workspace, name, version)
            await _set_tags(transaction, workspace, name, version, tags)

    async def delete_tag(self, workspace: str, name: str, version: int, key: str) -> None:
        """Removes a tag, if it is there; raises ModelMissing and VersionMissing."""
        async with self._postgres.transaction() as transaction:
            await _lock(transaction, workspace, name, version)
            await transaction.execute(_DELETE_TAG, workspace, name, version, key)

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


async def _repeated(transaction: Connection, workspace: str, new: NewVersion, at_ms: int) -> int | None:
    row = await transaction.fetchrow(
        _REPEATED, workspace, new.name, new.request, new.maker, at_ms - _UNDER_WAY_MS, at_ms - REPEATED_MS
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


async def _set_tags(transaction: Connection, workspace: str, name: str, version: int, tags: Mapping[str, str]) -> None:
    if tags:
        await transaction.execute(_SET_TAGS, workspace, name, version, list(tags), list(tags.values()))
        if await transaction.fetchval(_TOO_MANY_TAGS, workspace, name, version):
            raise TooManyTags


def _version(row: Any) -> ModelVersion:
    return ModelVersion(**{**row, "tags": dict(sorted(row["tags"].items())), "aliases": tuple(row["aliases"])})
