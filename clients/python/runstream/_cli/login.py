"""`login` and `logout`."""

import os

import click

from runstream._channel.address import ADDRESS_VARIABLE, forget_login, parse_address, store_login
from runstream._cli.commands import Command
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1.run_history_service_pb2 import ListWorkspacesRequest


@click.command(cls=Command, epilog="Example: runstream login --address runs.example.org:7878")
@pass_session
def login(session: Session) -> None:
    """Use the services at --address from now on.

    The address is stored for this user on this machine, once they have answered. RUNSTREAM_ADDRESS, --address and a
    project folder with an endpoint go before it; a `runstream up` of this machine comes after it.
    """
    if not session.settings.address:
        raise click.UsageError("Say where the services are: --address HOST:PORT.")
    address = parse_address(session.settings.address)
    session.services.call(lambda c: c.runs.ListWorkspaces, ListWorkspacesRequest(page_size=1))
    store_login(address)
    session.say(f"The services at {address} are used from now on. `runstream logout` forgets them.")
    if os.environ.get(ADDRESS_VARIABLE):
        session.say(f"But not here: {ADDRESS_VARIABLE} is set, and goes before.")


@click.command(cls=Command, epilog="Example: runstream logout")
@pass_session
def logout(session: Session) -> None:
    """Forget what `login` stored."""
    session.say("The address was forgotten." if forget_login() else "There was no login.")
