"""The commands of `runstream token`."""

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
from rich.text import Text

from runstream._cli import moments
from runstream._cli.commands import Group
from runstream._cli.documents import Document, last_part, time_of
from runstream._cli.session import Session, pass_session
from runstream._cli.tables import Column, fields, listing
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.api.runs.v1.token_pb2 import (
    TOKEN_ROLE_ADMIN,
    TOKEN_ROLE_READER,
    TOKEN_ROLE_RUN,
    TOKEN_ROLE_WRITER,
    Token,
    TokenRole,
)

PAGE_SIZE = 1000
ROLES = {"reader": TOKEN_ROLE_READER, "writer": TOKEN_ROLE_WRITER, "admin": TOKEN_ROLE_ADMIN}
CREATE_EXAMPLES = """\
\b
Examples:
  runstream token create --name ci --expires 90 --query secret -o tsv
  runstream token create --role reader --to-file ~/runstream.token
  runstream token create --run hello_1722470400_abcd
"""


@click.group(cls=Group)
def token() -> None:
    """Create, list and revoke tokens of the workspace.

    A token is shown to the services by RUNSTREAM_TOKEN_FILE, RUNSTREAM_TOKEN, or `runstream login --token-stdin`.
    """


@token.command(epilog=CREATE_EXAMPLES)
@click.option(
    "--role",
    type=click.Choice(list(ROLES)),
    help="What it allows: to read, to record and submit as well, to administer as well. Default: writer.",
)
@click.option("--run", metavar="RUN", help="Have it reach this run and those below it only, in place of a role.")
@click.option("--name", "display_name", default="", metavar="TEXT", help="Who or what uses it.")
@click.option(
    "--expires", type=click.FloatRange(0, min_open=True), metavar="DAYS", help="When. Default: never; of a run a day."
)
@click.option("--to-file", type=click.Path(path_type=Path), metavar="FILE", help="Put the secret in this new file.")
@pass_session
def create(
    session: Session, role: str | None, run: str | None, display_name: str, expires: float | None, to_file: Path | None
) -> None:
    """Create a token of the workspace.

    Its secret is shown now and never again; with --to-file it is in a file that only this user can read instead.
    """
    if to_file is not None and (to_file.exists() or not to_file.absolute().parent.is_dir()):
        raise click.UsageError(f"The file {to_file} of --to-file exists, or its folder does not; name a new one.")
    if role and run:
        raise click.UsageError("A token has a --role, or it is for a --run.")
    made = Token(display_name=display_name, role=TOKEN_ROLE_RUN if run else ROLES[role or "writer"])
    if run:
        made.run = session.run_name(run)
    if expires is not None:
        made.expire_time.FromDatetime(datetime.now(UTC) + timedelta(days=expires))
    request = api.CreateTokenRequest(parent=session.workspace, token=made)
    response = session.services.call(lambda c: c.runs.CreateToken, request)
    document = token_document(response.token)
    if to_file is None:
        document["secret"] = response.secret
    else:
        _write(to_file, response.secret)
        session.say(f"The secret is in {to_file}; RUNSTREAM_TOKEN_FILE={to_file} shows it to the services.")
    session.show(document, CARD)


@token.command(epilog="Example: runstream token ls -o table")
@click.option("--run-tokens", is_flag=True, help="Those of submitted runs too.")
@pass_session
def ls(session: Session, run_tokens: bool) -> None:
    """List the tokens of the workspace, newest first.

    Those that expired or were revoked are listed for 30 days. Secrets are not known to anybody any more.
    """
    session.show([token_document(each) for each in _all(session, run_tokens)], TABLE)


@token.command(epilog="Example: runstream token revoke 0123456789abcdef0123456789abcdef")
@click.argument("name", metavar="TOKEN")
@pass_session
def revoke(session: Session, name: str) -> None:
    """Revoke a token: within a minute nobody gets in with it.

    TOKEN is its id, as `runstream token ls` shows it. Revoking it again changes nothing.
    """
    request = api.RevokeTokenRequest(name=f"{session.workspace}/tokens/{name}")
    session.show(token_document(session.services.call(lambda c: c.runs.RevokeToken, request).token), CARD)


def token_document(each: Token) -> Document:
    """A token, which has no secret."""
    return {
        "id": last_part(each.name),
        "display_name": each.display_name or None,
        "role": TokenRole.Name(each.role).removeprefix("TOKEN_ROLE_").lower(),
        "workspace_name": each.name.split("/")[1] if each.name.startswith("workspaces/") else None,
        "run": last_part(each.run) or None,
        "created_utc": time_of(each, "create_time"),
        "expires_utc": time_of(each, "expire_time"),
        "last_used_utc": time_of(each, "last_use_time"),
        "revoked_utc": time_of(each, "revoke_time"),
    }


def _all(session: Session, run_tokens: bool) -> Iterator[Token]:
    request = api.ListTokensRequest(parent=session.workspace, page_size=PAGE_SIZE, show_run_tokens=run_tokens)
    for page in session.services.pages(lambda c: c.runs.ListTokens, request):
        yield from page.tokens


def _write(file: Path, secret: str) -> None:
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="ascii") as opened:
        opened.write(f"{secret}\n")


def _state(each: Document) -> Text:
    now = datetime.now(UTC)
    if each["revoked_utc"]:
        return Text(f"revoked {moments.ago(each['revoked_utc'])}", style="red")
    end = moments.parse(each["expires_utc"])
    if end is None:
        return Text("valid", style="green")
    return Text("expired", style="yellow") if end <= now else Text(f"until {_day(end)}", style="green")


def _day(time: datetime) -> str:
    return time.astimezone().strftime("%Y-%m-%d %H:%M")


TABLE = listing(
    Column("Token", lambda each: Text(each["id"], style="bold")),
    Column("Name", lambda each: each["display_name"] or "", rank=1, can_be_cut=True),
    Column("Role", lambda each: each["role"]),
    Column("Run", lambda each: each["run"] or "", rank=4, can_be_cut=True),
    Column("State", _state),
    Column("Used", lambda each: moments.ago(each["last_used_utc"]), rank=2),
    Column("Created", lambda each: moments.ago(each["created_utc"]), rank=3),
)

CARD = fields(
    Column("Token", lambda each: Text(each["id"], style="bold")),
    Column("Name", lambda each: each["display_name"] or ""),
    Column("Role", lambda each: each["role"]),
    Column("Run", lambda each: each["run"] or ""),
    Column("State", _state),
    Column("Secret", lambda each: Text(each.get("secret", ""), style="bold")),
)
