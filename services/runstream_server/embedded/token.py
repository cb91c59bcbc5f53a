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
async def own_token(config: Config, former: str | None) -> AsyncIterator[str]:
    """Makes a token of an operator, revokes it at the end, and `former`, which a killed process left; its secret."""
    async with open_postgres(config.postgres) as postgres:
        tokens = Tokens(TokenStore(postgres), _now, required=True, run_lifetime=timedelta(days=1))
        if former:
            await tokens.revoke_secret(former)
        token, secret = await tokens.create(NewToken(Role.OPERATOR, display_name="runstream up"))
        try:
            yield secret
        finally:
            with suppress(Unavailable):  # the next one revokes it
                await tokens.revoke(token.name)


def _now() -> datetime:
    return datetime.now(UTC)
