"""Reads and writes `runs.request`: what requests with a request id have made."""

import uuid
from collections.abc import Sequence
from datetime import datetime
from typing import Literal

from runstream_server.postgres import Connection, Postgres

_PRUNED_AT_ONCE = 10_000

Kind = Literal["workspace", "experiment", "run", "batch"]

REMEMBER = "INSERT INTO runs.request (workspace, kind, request_id, made, create_time) VALUES ($1, $2, $3, $4, $5)"


async def remember(
    connection: Connection, workspace: str, kind: Kind, request_id: uuid.UUID, made: Sequence[str], at: datetime
) -> None:
    """Remembers what a request makes, in its transaction; fails as a unique violation if it did so before."""
    await connection.execute(REMEMBER, workspace, kind, request_id, made, at)


class RequestStore:
    """Knows what requests with a request id have made."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def made(self, workspace: str, kind: Kind, request_id: uuid.UUID | None) -> Sequence[str] | None:
        """Returns the identifiers of what the request made, in its order; None if it made nothing."""
        if request_id is None:
            return None
        made: Sequence[str] | None = await self._postgres.fetchval(
            "SELECT made FROM runs.request WHERE workspace = $1 AND kind = $2 AND request_id = $3",
            workspace,
            kind,
            request_id,
        )
        return made

    async def prune(self, before: datetime) -> None:
        """Forgets requests made before a time, a bounded number at once."""
        await self._postgres.execute(
            """
            DELETE FROM runs.request WHERE ctid = ANY(ARRAY(
                   SELECT ctid FROM runs.request WHERE create_time < $1 ORDER BY create_time LIMIT $2))
            """,
            before,
            _PRUNED_AT_ONCE,
        )
