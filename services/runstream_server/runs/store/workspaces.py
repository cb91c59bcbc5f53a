"""Reads and writes `runs.workspace`."""

import uuid
from collections.abc import Sequence
from datetime import datetime, timedelta

import asyncpg

from runstream_server.postgres import Postgres
from runstream_server.runs.model import Workspace, WorkspaceEdits
from runstream_server.runs.store.requests import remember

_COLUMNS = "workspace, display_name, description, tags, create_time, update_time, log_retention"


class WorkspaceStore:
    """Keeps workspaces."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, workspace: Workspace, request_id: uuid.UUID | None) -> bool:
        """Creates a workspace and remembers the request; returns False, and does nothing, if the name is taken."""
        # A workspace that is deleted takes its requests with it, so no request of a free name is known.
        async with self._postgres.transaction() as connection:
            created = await connection.fetchval(
                f"""
                INSERT INTO runs.workspace ({_COLUMNS}) VALUES ($1, $2, $3, $4, $5, $6, $7)
                ON CONFLICT DO NOTHING RETURNING true
                """,
                workspace.workspace,
                workspace.display_name,
                workspace.description,
                workspace.tags,
                workspace.create_time,
                workspace.update_time,
                _seconds(workspace.log_retention),
            )
            if created and request_id:
                made = [workspace.workspace]
                await remember(connection, workspace.workspace, "workspace", request_id, made, workspace.create_time)
            return bool(created)

    async def get(self, workspace: str) -> Workspace | None:
        """Returns a workspace; None if there is none of that name."""
        row = await self._postgres.fetchrow(
            f"SELECT {_COLUMNS} FROM runs.workspace WHERE workspace = $1",
            workspace,
        )
        return _workspace(row) if row else None

    async def list(self, after: str, limit: int) -> Sequence[Workspace]:
        """Returns up to `limit` workspaces whose name sorts after `after`, in ascending order of name."""
        rows = await self._postgres.fetch(
            f"SELECT {_COLUMNS} FROM runs.workspace WHERE workspace > $1 ORDER BY workspace LIMIT $2",
            after,
            limit,
        )
        return [_workspace(row) for row in rows]

    async def update(self, workspace: str, edits: WorkspaceEdits, at: datetime) -> Workspace | None:
        """Changes what `edits` names; returns the workspace as it now is, None if there is none."""
        row = await self._postgres.fetchrow(
            f"""
            UPDATE runs.workspace
               SET display_name  = coalesce($2, display_name),
                   description   = coalesce($3, description),
                   tags          = coalesce($4, tags),
                   update_time   = $5,
                   log_retention = CASE WHEN $7 THEN $6 ELSE log_retention END
             WHERE workspace = $1
            RETURNING {_COLUMNS}
            """,
            workspace,
            edits.display_name,
            edits.description,
            edits.tags,
            at,
            _seconds(edits.log_retention),
            edits.sets_log_retention,
        )
        return _workspace(row) if row else None

    async def delete(self, workspace: str) -> bool | None:
        """Deletes a workspace without experiments; returns False if it has some, None if there is none."""
        async with self._postgres.transaction() as connection:
            if not await connection.fetchval(
                "SELECT true FROM runs.workspace WHERE workspace = $1 FOR UPDATE", workspace
            ):
                return None
            deleted = await connection.fetchval(
                """
                DELETE FROM runs.workspace
                 WHERE workspace = $1 AND NOT EXISTS (SELECT FROM runs.experiment WHERE workspace = $1)
                RETURNING true
                """,
                workspace,
            )
            if deleted:
                await connection.execute("DELETE FROM runs.request WHERE workspace = $1", workspace)
            return bool(deleted)


def _workspace(row: asyncpg.Record) -> Workspace:
    seconds = row["log_retention"]
    return Workspace(**{**row, "log_retention": None if seconds is None else timedelta(seconds=seconds)})


def _seconds(duration: timedelta | None) -> int | None:
    return None if duration is None else duration // timedelta(seconds=1)
