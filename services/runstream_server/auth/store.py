"""Reads and writes `auth.token`."""

import uuid
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime, timedelta

from asyncpg import Record

from runstream_server.auth.model import Role, Token
from runstream_server.postgres import Postgres

_COLUMNS = "token, role, workspace, run, display_name, create_time, expire_time, last_use_time, revoke_time"


class TokenStore:
    """Keeps tokens."""

    def __init__(self, postgres: Postgres) -> None:
        self._postgres = postgres

    async def create(self, token: Token, digest: bytes, request_id: uuid.UUID | None = None) -> Token | None:
        """Creates a token. If the request made one already, gives that one the digest.

        Returns it as stored; None, and changes nothing, if what the request made is another one or was revoked.
        """
        row = await self._postgres.fetchrow(
            f"""
            INSERT INTO auth.token
                   (token, digest, role, workspace, run, display_name, request_id, create_time, expire_time)
            VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
            ON CONFLICT (workspace, request_id) DO UPDATE SET digest = excluded.digest
             WHERE token.role = excluded.role AND token.run = excluded.run AND token.revoke_time IS NULL
               AND token.display_name = excluded.display_name
            RETURNING {_COLUMNS}
            """,
            token.token,
            digest,
            token.role,
            token.workspace,
            token.run,
            token.display_name,
            request_id,
            token.create_time,
            token.expire_time,
        )
        return _token(row) if row else None

    async def count(self, workspace: str, run: str, now: datetime, most: int) -> int:
        """How many tokens of a run, or with an empty one of a workspace, are taken; up to `most`."""
        narrowed = "run = $2 AND run <> ''" if run else "run = $2 AND role <> 'run'"
        found: int = await self._postgres.fetchval(
            f"""
            SELECT count(*) FROM (
                SELECT 1 FROM auth.token
                 WHERE workspace = $1 AND {narrowed} AND revoke_time IS NULL
                   AND (expire_time IS NULL OR expire_time > $3)
                 LIMIT $4
            ) AS taken
            """,
            workspace,
            run,
            now,
            most,
        )
        return found

    async def find(self, digests: Collection[bytes]) -> Mapping[bytes, Token]:
        """Returns the tokens of digests, as far as there are such."""
        rows = await self._postgres.fetch(
            f"SELECT digest, {_COLUMNS} FROM auth.token WHERE digest = ANY($1::bytea[])", list(digests)
        )
        return {bytes(row["digest"]): _token(row) for row in rows}

    async def list(
        self, workspace: str | None, before: tuple[datetime, str] | None, limit: int, *, with_runs: bool
    ) -> Sequence[Token]:
        """Returns up to `limit` tokens, newest first, of a workspace or of all, those before a time and a token."""
        rows = await self._postgres.fetch(
            f"""
            SELECT {_COLUMNS} FROM auth.token
             WHERE ($1::text IS NULL OR workspace = $1) AND ($2 OR role <> 'run')
               AND ($3::timestamptz IS NULL OR (create_time, token) < ($3, $4))
             ORDER BY create_time DESC, token DESC LIMIT $5
            """,
            workspace,
            with_runs,
            before[0] if before else None,
            before[1] if before else None,
            limit,
        )
        return [_token(row) for row in rows]

    async def revoke(self, workspace: str, token: str, now: datetime) -> Token | None:
        """Revokes a token of a workspace, or with an empty one of an operator; None if there is none."""
        row = await self._postgres.fetchrow(
            f"""
            UPDATE auth.token SET revoke_time = coalesce(revoke_time, $3)
             WHERE workspace = $1 AND token = $2
            RETURNING {_COLUMNS}
            """,
            workspace,
            token,
            now,
        )
        return _token(row) if row else None

    async def revoke_all(self, workspace: str, now: datetime) -> None:
        """Revokes the tokens of a workspace."""
        await self._postgres.execute(
            "UPDATE auth.token SET revoke_time = $2 WHERE workspace = $1 AND revoke_time IS NULL", workspace, now
        )

    async def revoke_secret(self, digest: bytes, now: datetime) -> None:
        """Revokes the token of a digest, if there is one."""
        await self._postgres.execute(
            "UPDATE auth.token SET revoke_time = coalesce(revoke_time, $2) WHERE digest = $1", digest, now
        )

    async def note_use(self, digests: Collection[bytes], now: datetime, coarseness: timedelta) -> None:
        """Writes down that tokens were used, of those whose last known use is longer ago than `coarseness`."""
        await self._postgres.execute(
            """
            UPDATE auth.token SET last_use_time = $2
             WHERE digest = ANY($1::bytea[]) AND (last_use_time IS NULL OR last_use_time < $3)
            """,
            list(digests),
            now,
            now - coarseness,
        )

    async def forget(self, ended_before: datetime, runs_ended_before: datetime) -> None:
        """Deletes tokens that expired or were revoked before a time, and those of runs before another one."""
        await self._postgres.execute(
            """
            DELETE FROM auth.token
             WHERE (expire_time < $1 OR revoke_time < $1)
               AND (role = 'run' OR expire_time < $2 OR revoke_time < $2)
            """,
            runs_ended_before,
            ended_before,
        )


def _token(row: Record) -> Token:
    return Token(
        token=row["token"],
        role=Role(row["role"]),
        workspace=row["workspace"],
        run=row["run"],
        display_name=row["display_name"],
        create_time=row["create_time"],
        expire_time=row["expire_time"],
        last_use_time=row["last_use_time"],
        revoke_time=row["revoke_time"],
    )
