"""`run watch`."""

import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click

from runstream._channel import Connection
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import Document, last_part, time_of
from runstream._cli.exits import ExitCode
from runstream._cli.output import View, console
from runstream._cli.run.listing import fetch_runs
from runstream._cli.run.options import selecting_runs
from runstream._cli.run.selection import Selection
from runstream._cli.run_document import run_document
from runstream._cli.run_tables import runs_table
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1 import run_history_service_pb2 as api
from runstream.core._filters import all_of
from runstream.core._run.watching import watch_runs

EPILOG = """\
\b
Examples:
  runstream run watch
  runstream run watch -e digits --include-children --last 30
  runstream run watch -o json --query '[run_id, status]'
"""


@click.command(cls=PlacedCommand, epilog=EPILOG)
@selecting_runs
@click.option("--last", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="How many; 0: all.")
@pass_session
def watch(session: Session, selection: Selection, last: int) -> None:
    """Show the newest runs as they change, until Ctrl-C.

    On a terminal it is a table; elsewhere each new state of a run is written as a line.
    """
    selection = replace(selection, experiment=session.place.experiment)
    request = api.WatchRunsRequest(
        parent=session.workspace, filter=_scope(session, selection, last), include_present=True
    )
    try:
        if session.output.is_picture:
            _show_live(session, request, runs_table(with_experiment=not selection.experiment), last)
        else:
            session.services.run(lambda connection: _print_changes(connection, request, session.output.show_line))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)


def _scope(session: Session, selection: Selection, last: int) -> str:
    """The filter that admits the newest `last` of the selected runs, and all that come."""
    runs = fetch_runs(session, selection, last) if last else []
    oldest = f'create_time >= "{time_of(runs[-1], "create_time")}"' if last and len(runs) == last else ""
    return all_of(selection.to_filter(), oldest)


def _show_live(session: Session, request: api.WatchRunsRequest, view: View, last: int) -> None:
    from rich.live import Live

    screen = console()
    runs: dict[str, Document] = {}

    def picture() -> Any:
        newest = sorted(runs.values(), key=lambda run: str(run["created_utc"]), reverse=True)
        return view(newest[: last or None], screen.width)

    with Live(console=screen, get_renderable=picture, refresh_per_second=2):
        session.services.run(lambda connection: _keep(connection, request, runs))


async def _keep(connection: Connection, request: api.WatchRunsRequest, runs: dict[str, Document]) -> None:
    async for change in watch_runs(lambda: connection, request):
        if change.kind == api.RUN_CHANGE_KIND_UPDATED:
            runs[last_part(change.run.name)] = run_document(change.run)
        else:
            runs.pop(last_part(change.run.name), None)


async def _print_changes(
    connection: Connection, request: api.WatchRunsRequest, show: Callable[[Document], None]
) -> None:
    async for change in watch_runs(lambda: connection, request):
        if change.kind == api.RUN_CHANGE_KIND_UPDATED:
            show(run_document(change.run))
