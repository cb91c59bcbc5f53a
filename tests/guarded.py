"""All services on a port, where calls need tokens, and tokens to call with."""

from collections.abc import AsyncIterator, Awaitable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc

from runstream._channel.errors import read_failure
from runstream_server import app
from runstream_server.auth import NewToken, Role, Token, Tokens
from runstream_server.auth.store import TokenStore
from runstream_server.auth_config import AuthConfig
from runstream_server.config import Config
from runstream_server.postgres import open_postgres
from runstream_server.rpc import open_channel

SERVICE_KEY = "a key that services show each other"
LIFETIME = timedelta(hours=1)
TIMEOUT = 20


def now() -> datetime:
    """The time, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True)
class Guarded:
    """Services that want tokens."""

    address: str
    channel: grpc.aio.Channel
    """With the token of an operator."""

    tokens: Tokens

    former_tokens: Tokens
    """For which it is an hour earlier."""

    _stack: AsyncExitStack

    async def token(self, role: Role, workspace: str = "space", **of_token: Any) -> tuple[Token, str]:
        """Makes a token; returns it with its secret."""
        return await self.tokens.create(NewToken(role, "" if role is Role.OPERATOR else workspace, **of_token))

    async def expired(self, role: Role, workspace: str = "space") -> str:
        """Makes a token that has expired; returns its secret."""
        _, secret = await self.former_tokens.create(NewToken(role, workspace, expire_time=now() - LIFETIME / 2))
        return secret

    async def showing(self, secret: str) -> grpc.aio.Channel:
        """A channel whose calls show a secret; empty: none."""
        return await self._stack.enter_async_context(open_channel(self.address, secret=secret))

    async def calling(self, role: Role, workspace: str = "space", **of_token: Any) -> grpc.aio.Channel:
        """A channel whose calls show a new token."""
        return await self.showing((await self.token(role, workspace, **of_token))[1])


@asynccontextmanager
async def guarded_services(
    config: Config, *, check_seconds: float = 25.0, run_lifetime: timedelta = LIFETIME
) -> AsyncIterator[Guarded]:
    """All services in this process, where calls need tokens."""
    auth = AuthConfig(
        required=True,
        service_key=SERVICE_KEY,
        check_seconds=check_seconds,
        run_token_seconds=run_lifetime.total_seconds(),
    )
    async with AsyncExitStack() as stack:
        server = await stack.enter_async_context(app.serve(replace(config, auth=auth)))
        postgres = await stack.enter_async_context(open_postgres(config.postgres))
        store = TokenStore(postgres)
        tokens = Tokens(store, now, required=True, run_lifetime=run_lifetime)
        former = Tokens(store, lambda: now() - LIFETIME, required=True, run_lifetime=run_lifetime)
        _, secret = await tokens.create(NewToken(Role.OPERATOR))
        channel = await stack.enter_async_context(open_channel(server.address, secret=secret))
        yield Guarded(server.address, channel, tokens, former, stack)


async def outcome(call: Awaitable[Any]) -> str:
    """How a call went: `OK`, or its code and its reason, `NOT_FOUND RUN_NOT_FOUND` for example."""
    try:
        await call
    except grpc.aio.AioRpcError as error:
        return told(error)[0]
    return "OK"


def told(error: grpc.aio.AioRpcError) -> tuple[str, str]:
    """Code and reason of an error, and its message."""
    details = dict(error.trailing_metadata() or ()).get("grpc-status-details-bin")
    failure = read_failure(error.code().name, error.details() or "", details)  # type: ignore[arg-type]
    return f"{failure.code} {failure.reason}", error.details() or ""
