"""Reads and writes `artifacts.artifact`: paths of runs, bound to blobs. Rows do not leave this module."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime

from asyncpg import Record

from runstream_server.artifacts.errors import ArtifactExists, BlobMissing
from runstream_server.artifacts.model import Artifact, Binding, Blob, Listed
from runstream_server.names import RunName
from runstream_server.postgres import Connection, Postgres


class _Unbound(Exception):
    """A path was bound when it was to be, and is not any more: somebody deleted it meanwhile."""


class ArtifactStore:
    """Bindings."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def bind(self, run: RunName, bindings: Sequence[Binding], now: datetime) -> Sequence[Artifact]:
        """Binds distinct paths, all of them or none; returns the artifacts in the order of the bindings.

        Raises:
            BlobMissing: The workspace does not have a blob.
            ArtifactExists: A path is bound to another blob.
        """
        while True:
            with suppress(_Unbound):
                return await self._bind(run, bindings, now)

    async def _bind(self, run: RunName, bindings: Sequence[Binding], now: datetime) -> Sequence[Artifact]:
        async with self._postgres.transaction() as connection:
            sizes = await _insert(connection, run, bindings, now)
            if len(sizes) == len(bindings):
                return [Artifact(each.path, Blob(each.digest, sizes[each.path]), now) for each in bindings]
            await _check_blobs(connection, run.workspace, bindings)
            return await _bound(connection, run, bindings)

    async def find(self, run: RunName, paths: Sequence[str]) -> Mapping[str, Artifact]:
        """Returns the artifacts that there are at paths, by path."""
        rows = await self._postgres.fetch(
            """
            SELECT path, digest, size_bytes, create_time
              FROM artifacts.artifact
             WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])
            """,
            run.workspace,
            run.run,
            paths,
        )
        return {row["path"]: _artifact(row) for row in rows}

    async def list_artifacts(
        self, run: RunName, first: str, beyond: str | None, after: str, count: int
    ) -> Sequence[Artifact]:
        """Returns up to `count` artifacts in order of path: at or after `first`, before `beyond`, after `after`."""
        rows = await self._postgres.fetch(
            """
            SELECT path, digest, size_bytes, create_time
              FROM artifacts.artifact
             WHERE workspace = $1 AND run = $2 AND path >= $3 AND ($4::text IS NULL OR path < $4) AND path > $5
             ORDER BY path
             LIMIT $6
            """,
            run.workspace,
            run.run,
            first,
            beyond,
            after,
            count,
        )
        return [_artifact(row) for row in rows]

    async def list_folder(self, run: RunName, prefix: str, first: str, count: int) -> Sequence[Listed]:
        """Returns up to `count` entries at or after `first`, which starts with `prefix`, in order of path.

        Entries are artifacts whose paths go on after `prefix` without `/`, and for all others what is up to that `/`
        and including it. Each is one look into the index, however much is in a folder: `0` follows `/` in order.
        """
        rows = await self._postgres.fetch(
            """
            WITH RECURSIVE found (path, place) AS (
                SELECT (SELECT min(path) FROM artifacts.artifact
                         WHERE workspace = $1 AND run = $2 AND path >= $4), 1
                UNION ALL
                SELECT (SELECT min(path) FROM artifacts.artifact
                         WHERE workspace = $1 AND run = $2
                           AND path >= CASE WHEN strpos(substr(found.path, length($3) + 1), '/') = 0
                                            THEN found.path || chr(1)
                                            ELSE $3 || split_part(substr(found.path, length($3) + 1), '/', 1) || '0'
                                        END),
                       found.place + 1
                  FROM found
                 WHERE found.path IS NOT NULL AND starts_with(found.path, $3) AND found.place < $5
            )
            SELECT found.path, digest, size_bytes, create_time
              FROM found
             CROSS JOIN LATERAL (
                SELECT digest, size_bytes, create_time
                  FROM artifacts.artifact
                 WHERE workspace = $1 AND run = $2 AND path = found.path
                 LIMIT 1
             ) AS artifact
             WHERE starts_with(found.path, $3)
             ORDER BY found.path
            """,
            run.workspace,
            run.run,
            prefix,
            first,
            count,
        )
        return [_listed(row, prefix) for row in rows]

    async def delete(self, run: RunName, paths: Sequence[str]) -> int:
        """Unbinds paths; returns how many were bound."""
        return await self._deleted(
            "DELETE FROM artifacts.artifact WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])",
            run,
            paths,
        )

    async def delete_range(self, run: RunName, first: str, beyond: str | None, count: int) -> int:
        """Unbinds up to `count` paths at or after `first` and before `beyond`; returns how many there were."""
        return await self._deleted(
            """
            DELETE FROM artifacts.artifact
             WHERE workspace = $1 AND run = $2 AND path >= $3 AND path <= (
                SELECT max(path)
                  FROM (SELECT path
                          FROM artifacts.artifact
                         WHERE workspace = $1 AND run = $2 AND path >= $3 AND ($4::text IS NULL OR path < $4)
                         ORDER BY path
                         LIMIT $5) AS next
             )
            """,
            run,
            first,
            beyond,
            count,
        )

    async def _deleted(self, statement: str, run: RunName, *arguments: object) -> int:
        tag = await self._postgres.execute(statement, run.workspace, run.run, *arguments)
        return int(tag.rpartition(" ")[2])


async def _insert(
    connection: Connection, run: RunName, bindings: Sequence[Binding], now: datetime
) -> Mapping[str, int]:
    """Adds the bindings whose paths are free and whose blobs are there, which then stay; returns sizes by path.

    Blobs are locked before anything is added, and both in the order that all transactions keep.
    """
    ordered = sorted(bindings, key=lambda binding: binding.path)
    rows = await connection.fetch(
        """
        WITH held AS (
            SELECT digest, size_bytes
              FROM artifacts.blob
             WHERE workspace = $1 AND digest = ANY($4::bytea[])
             ORDER BY digest
               FOR KEY SHARE
        )
        INSERT INTO artifacts.artifact (workspace, run, path, digest, size_bytes, create_time)
        SELECT $1, $2, path, digest, size_bytes, $5
          FROM unnest($3::text[], $4::bytea[]) WITH ORDINALITY AS new (path, digest, place)
          JOIN held USING (digest)
         ORDER BY place
        ON CONFLICT (workspace, run, path) DO NOTHING
        RETURNING path, size_bytes
        """,
        run.workspace,
        run.run,
        [binding.path for binding in ordered],
        [bytes.fromhex(binding.digest) for binding in ordered],
        now,
    )
    return {row["path"]: row["size_bytes"] for row in rows}


async def _check_blobs(connection: Connection, workspace: str, bindings: Sequence[Binding]) -> None:
    """Raises BlobMissing for the first binding whose blob the workspace does not have."""
    rows = await connection.fetch(
        "SELECT digest FROM artifacts.blob WHERE workspace = $1 AND digest = ANY($2::bytea[])",
        workspace,
        [bytes.fromhex(binding.digest) for binding in bindings],
    )
    known = {row["digest"].hex() for row in rows}
    for binding in bindings:
        if binding.digest not in known:
            raise BlobMissing(binding.digest, binding.path)


async def _bound(connection: Connection, run: RunName, bindings: Sequence[Binding]) -> Sequence[Artifact]:
    rows = await connection.fetch(
        """
        SELECT path, digest, size_bytes, create_time
          FROM artifacts.artifact
         WHERE workspace = $1 AND run = $2 AND path = ANY($3::text[])
        """,
        run.workspace,
        run.run,
        [binding.path for binding in bindings],
    )
    artifacts = {row["path"]: _artifact(row) for row in rows}
    if len(artifacts) < len(bindings):
        raise _Unbound
    for binding in bindings:
        if artifacts[binding.path].blob.digest != binding.digest:
            raise ArtifactExists(binding.path, artifacts[binding.path].blob.digest, binding.digest)
    return [artifacts[binding.path] for binding in bindings]


def _blob(row: Record) -> Blob:
    return Blob(row["digest"].hex(), row["size_bytes"])


def _artifact(row: Record) -> Artifact:
    return Artifact(row["path"], _blob(row), row["create_time"])


def _listed(row: Record, prefix: str) -> Listed:
    name, slash, _ = row["path"][len(prefix) :].partition("/")
    return Listed(f"{prefix}{name}/", None) if slash else Listed(row["path"], _artifact(row))
