"""Versions of environments."""

from collections.abc import Sequence
from datetime import datetime

from asyncpg import Record

from runstream_server.jobs.model import Environment
from runstream_server.postgres import Postgres

_COLUMNS = "workspace, environment, version, definition, create_time"


class EnvironmentStore:
    """Versions of environments."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def register(self, workspace: str, environment: str, definition: bytes, at: datetime) -> Environment:
        """Returns the latest version if it has this definition, else makes the next one."""
        while True:
            latest = await self.get(workspace, environment, None)
            if latest is not None and latest.definition == definition:
                return latest
            row = await self._postgres.fetchrow(
                f"""
                INSERT INTO jobs.environment ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5)
                ON CONFLICT DO NOTHING RETURNING {_COLUMNS}
                """,
                workspace,
                environment,
                latest.version + 1 if latest else 1,
                definition,
                at,
            )
            if row is not None:
                return _environment(row)

    async def get(self, workspace: str, environment: str, version: int | None) -> Environment | None:
        """Returns a version, with None the latest one."""
        row = await self._postgres.fetchrow(
            f"""
            SELECT {_COLUMNS} FROM jobs.environment
             WHERE workspace = $1 AND environment = $2 AND version = coalesce($3, version)
             ORDER BY version DESC LIMIT 1
            """,
            workspace,
            environment,
            version,
        )
        return _environment(row) if row else None

    async def list_latest(self, workspace: str, after: str, count: int, size_bytes: int) -> Sequence[Environment]:
        """Returns the latest versions of up to `count` environments after `after`, in order of name.

        At least one, and no more than take `size_bytes` together with the one before the last.
        """
        rows = await self._postgres.fetch(
            f"""
            WITH latest AS (
                SELECT DISTINCT ON (environment) {_COLUMNS} FROM jobs.environment
                 WHERE workspace = $1 AND environment > $2 ORDER BY environment, version DESC LIMIT $3
            ), measured AS (
                SELECT latest.*, sum(octet_length(definition)) OVER (ORDER BY environment) - octet_length(definition)
                       AS size_before
                  FROM latest
            )
            SELECT {_COLUMNS} FROM measured WHERE size_before <= $4 ORDER BY environment
            """,
            workspace,
            after,
            count,
            size_bytes,
        )
        return [_environment(row) for row in rows]


def _environment(row: Record) -> Environment:
    return Environment(*row.values())
