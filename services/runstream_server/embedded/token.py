"""The token by which the scripts of the user of `runstream up` get in."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta

from runstream_server.auth import NewToken, Role, Tokens
from runstream_server.auth.store import TokenStore
from runstream_server.config import Config
from runstream_server.errors import Unavailable
from runstream_server.postgres import open_postgres


@asynccontextmanager
async def own_token(config: Config) -> AsyncIterator[str]:
    """Makes a token of an operator, and revokes it at the end; its secret."""
    async with _tokens(config) as tokens:
        token, secret = await tokens.create(NewToken(Role.OPERATOR, display_name="runstream up"))
        try:
            yield secret
        finally:
            with suppress(Unavailable):  # the next one revokes it
                await tokens.revoke(token.name)


async def revoke_former(config: Config, secret: str) -> None:
    """Revokes the token that a killed process left."""
    async with _tokens(config) as tokens:
        await tokens.revoke_secret(secret)


@asynccontextmanager
async def _tokens(config: Config) -> AsyncIterator[Tokens]:
    async with open_postgres(config.postgres) as postgres:
        yield Tokens(TokenStore(postgres), _now, required=True, run_lifetime=timedelta(days=1))


def _now() -> datetime:
    return datetime.now(UTC)
