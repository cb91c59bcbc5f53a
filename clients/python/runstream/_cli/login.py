"""`login` and `logout`."""

import os
import sys

import click

from runstream._channel import Connection
from runstream._channel.address import ADDRESS_VARIABLE, forget_login, parse_address, store_login, stored_tokens
from runstream._channel.tokens import TOKEN_VARIABLES, Credential, Token, plain_token
from runstream._cli.commands import Command
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1.run_history_service_pb2 import ListWorkspacesRequest

OPTION = "--token-stdin"
EXAMPLES = """\
\b
Examples:
  runstream login --address runs.example.org:7878
  runstream login --address grpcs://runs.example.org:7878 --token-stdin <token
"""


@click.command(cls=Command, epilog=EXAMPLES)
@click.option(OPTION, is_flag=True, help="Read a token from stdin, and show it to the services from now on.")
@pass_session
def login(session: Session, token_stdin: bool) -> None:
    """Use the services at --address from now on.

    The address is stored for this user on this machine, once they have answered, and with it the token that they took.
    RUNSTREAM_ADDRESS, --address and a project folder with an endpoint go before it; a `runstream up` of this machine
    comes after it. RUNSTREAM_TOKEN_FILE and RUNSTREAM_TOKEN go before the token.
    """
    if not session.settings.address:
        raise click.UsageError("Say where the services are: --address HOST:PORT, or grpcs://HOST:PORT with TLS.")
    address = parse_address(session.settings.address)
    secret = _read_token() if token_stdin else ""
    session.services.run(lambda _: _try(address, secret))
    store_login(address, secret or _stored(address))
    session.say(f"The services at {address} are used from now on. `runstream logout` forgets them.")
    overruled = [*(ADDRESS_VARIABLE,), *(TOKEN_VARIABLES if secret else ())]
    for variable in filter(os.environ.get, overruled):
        session.say(f"But not here: {variable} is set, and goes before.")


async def _try(address: str, secret: str) -> None:
    """Sees that the services answer to a token; without one, to what would be shown anyway."""
    credential = Credential(lambda: Token(secret, OPTION)) if secret else None
    connection = Connection.to(address, credential)
    await connection.call(connection.runs.ListWorkspaces, ListWorkspacesRequest(page_size=1))


def _read_token() -> str:
    """The token on stdin; a person is asked for it, and does not see it."""
    is_person = sys.stdin.isatty()
    text = click.prompt("Token", hide_input=True, err=True) if is_person else sys.stdin.read(4_096)
    if not (secret := plain_token(text)):
        raise click.UsageError(f"What {OPTION} reads from stdin is no token.")
    return secret


def _stored(address: str) -> str:
    """The token that was stored for an address before."""
    known, secret = stored_tokens()["runstream login"]
    return secret if known == address else ""


@click.command(cls=Command, epilog="Example: runstream logout")
@pass_session
def logout(session: Session) -> None:
    """Forget what `login` stored."""
    session.say("The address and its token were forgotten." if forget_login() else "There was no login.")
