"""`runstream-server token`: makes and revokes tokens straight in the database, the first ones for example."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AbstractContextManager, asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from runstream_server.errors import ConfigurationError

if TYPE_CHECKING:
    from runstream_server.auth import NewToken, Token, Tokens

ToldErrors: TypeAlias = Callable[[], AbstractContextManager[None]]
OfCommand: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]

_ROLES = ("reader", "writer", "admin")
_PAGE = 1_000
_MANAGE = "RUNSTREAM_POSTGRES_DSN says which database, else it is that of the `runstream up` that runs."


def make_token_commands(told_errors: ToldErrors, data_of_up: OfCommand) -> click.Group:
    """The group of commands.

    `told_errors` says what went wrong, and ends the process; `data_of_up` is the option for a `runstream up`.
    """

    def run(work: Coroutine[Any, Any, None]) -> None:
        with told_errors():
            asyncio.run(work)

    @click.group(help=f"Make, list and revoke tokens, straight in the database. {_MANAGE}")
    def token() -> None:
        """Groups the commands."""

    @token.command(epilog="Example: runstream-server token create --workspace default --role writer --name nightly")
    @click.option(
        "--workspace", metavar="WORKSPACE", help="The workspace that the token reaches; it need not exist yet."
    )
    @click.option("--role", type=click.Choice(_ROLES), help="What the token allows there.")
    @click.option("--operator", is_flag=True, help="Make a token that allows everything in all workspaces.")
    @click.option("--name", default="", help="Who or what uses the token, for people.")
    @click.option("--expires", type=click.FloatRange(min=0, min_open=True), metavar="DAYS", help="Default: never.")
    @data_of_up
    def create(
        workspace: str | None, role: str | None, operator: bool, name: str, expires: float | None, data: Path | None
    ) -> None:
        """Make a token, and show its secret, which is kept nowhere.

        The secret is all that stdout gets. Which token it is, for revoking it, stderr is told.
        """
        if operator == bool(workspace) or operator == bool(role):
            raise click.UsageError("give --workspace and --role, or --operator")
        run(_create(data, workspace or "", role or "operator", name, expires))

    @token.command(name="ls", epilog="Example: runstream-server token ls --workspace default")
    @click.option("--workspace", metavar="WORKSPACE", help="Only those of a workspace. Default: all, and of operators.")
    @click.option("--runs", is_flag=True, help="Those of runs as well.")
    @data_of_up
    def list_(workspace: str | None, runs: bool, data: Path | None) -> None:
        """List tokens in JSON, one in a line, newest first; never their secrets."""
        run(_list(data, workspace, with_runs=runs))

    @token.command(epilog="Example: runstream-server token revoke workspaces/default/tokens/4f...")
    @click.argument("name", metavar="TOKEN")
    @data_of_up
    def revoke(name: str, data: Path | None) -> None:
        """Revoke a token by the name that `ls` shows; within a minute it is refused everywhere."""
        run(_revoke(data, name))

    return token


@asynccontextmanager
async def _tokens(data: Path | None) -> "AsyncIterator[Tokens]":
    from runstream_server.auth import Tokens
    from runstream_server.auth.store import TokenStore
    from runstream_server.config import PostgresConfig
    from runstream_server.postgres import open_postgres

    async with open_postgres(PostgresConfig(dsn=_dsn(data), pool_size=2)) as postgres:
        yield Tokens(TokenStore(postgres), _now, required=True, run_lifetime=timedelta(days=1))


def _dsn(data: Path | None) -> str:
    from runstream_server.embedded.running import with_servers

    dsn = with_servers(data.absolute() if data else None, os.environ).get("RUNSTREAM_POSTGRES_DSN")
    if not dsn:
        raise ConfigurationError("RUNSTREAM_POSTGRES_DSN", "not set, and no `runstream up` runs")
    return dsn


async def _create(data: Path | None, workspace: str, role: str, name: str, expires: float | None) -> None:
    new = _new_token(workspace, role, name, expires)
    async with _tokens(data) as tokens:
        token, secret = await tokens.create(new)
    click.echo(json.dumps(_shown(token)), err=True)
    click.echo(secret)


def _new_token(workspace: str, role: str, name: str, expires: float | None) -> "NewToken":
    from runstream_server.auth import NewToken, Role
    from runstream_server.names import check_workspace_id

    if workspace:
        check_workspace_id(workspace, "--workspace")
    expire_time = _now() + timedelta(days=expires) if expires else None
    return NewToken(Role(role), workspace, display_name=name, expire_time=expire_time)


async def _list(data: Path | None, workspace: str | None, *, with_runs: bool) -> None:
    before: tuple[datetime, str] | None = None
    async with _tokens(data) as tokens:
        while page := await tokens.list(workspace, before, _PAGE, with_runs=with_runs):
            for token in page:
                click.echo(json.dumps(_shown(token), ensure_ascii=False))
            before = page[-1].create_time, page[-1].token


async def _revoke(data: Path | None, text: str) -> None:
    from runstream_server.names import TokenName

    name = TokenName("", text.removeprefix("tokens/")) if text.startswith("tokens/") else TokenName.parse(text)
    async with _tokens(data) as tokens:
        click.echo(json.dumps(_shown(await tokens.revoke(name)), ensure_ascii=False))


def _shown(token: "Token") -> dict[str, str]:
    said = {
        "name": str(token.name),
        "role": token.role,
        "display_name": token.display_name,
        "run": token.run,
        "create_time": token.create_time,
        "expire_time": token.expire_time,
        "last_use_time": token.last_use_time,
        "revoke_time": token.revoke_time,
    }
    return {
        key: value.isoformat() if isinstance(value, datetime) else str(value) for key, value in said.items() if value
    }


def _now() -> datetime:
    return datetime.now(UTC)
