"""`log ls`."""

import click

from runstream._cli import moments
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import log_document
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream._cli.tables import Column, listing
from runstream.api.logs.v1.log_service_pb2 import ListLogsRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest

PAGE_SIZE = 1_000


@click.command(cls=PlacedCommand, epilog="Example: runstream log ls -r RUN --query '[].path' -o tsv")
@run_option
@pass_session
def ls(session: Session, run: str) -> None:
    """List the log files of a run."""
    name = session.run_name(run)
    request = ListLogsRequest(parent=name, page_size=PAGE_SIZE)
    files = [file for page in session.services.pages(lambda c: c.logs.ListLogs, request) for file in page.logs]
    if not files:
        session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=name))
        session.say(f"Run {run} has no logs.")
    session.show([log_document(file) for file in files], FILES)


FILES = listing(
    Column("Path", lambda file: file["path"]),
    Column("Size", lambda file: moments.size(file["size_bytes"]), is_number=True),
    Column("Begun", lambda file: moments.ago(file["created_utc"]), rank=2),
    Column("Written", lambda file: moments.ago(file["updated_utc"]), rank=1),
    Column("Complete", lambda file: "yes" if file["is_finished"] else "", rank=3),
)
