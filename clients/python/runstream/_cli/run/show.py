"""`run show`."""

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.run_job import document_with_job
from runstream._cli.run_tables import run_card
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.api.metrics.v1.metrics_service_pb2 import GetRefusalsRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.core._run.refusals import refusal_warnings


@click.command(cls=PlacedCommand, epilog="Example: runstream run show -r RUN --query tags")
@run_option
@pass_session
def show(session: Session, run: str) -> None:
    """Show everything known of a run."""
    name = session.run_name(run)
    document = document_with_job(session, session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=name)).run)
    refusals = session.services.call(lambda c: c.metrics.GetRefusals, GetRefusalsRequest(run=name)).refusals
    document["warnings"] += refusal_warnings(refusals)
    session.show(document, run_card())
