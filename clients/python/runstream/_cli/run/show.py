"""`run show`."""

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.run_document import run_document
from runstream._cli.run_tables import run_card
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest


@click.command(cls=PlacedCommand, epilog="Example: runstream run show -r RUN --query tags")
@run_option
@pass_session
def show(session: Session, run: str) -> None:
    """Show everything known of a run."""
    request = GetRunRequest(name=session.run_name(run))
    session.show(run_document(session.services.call(lambda c: c.runs.GetRun, request).run), run_card())
