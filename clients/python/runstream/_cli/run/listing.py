"""`run list`."""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.run.options import selecting_runs
from runstream._cli.run.ranking import is_by_metric, ranking_column
from runstream._cli.run.selection import Selection
from runstream._cli.run_document import minimal_document, run_document
from runstream._cli.run_tables import minimal_table, runs_table
from runstream._cli.session import Session, pass_session
from runstream.api.runs.v1.run_history_service_pb2 import ListRunsRequest
from runstream.api.runs.v1.run_pb2 import RUN_VIEW_BASIC, RUN_VIEW_FULL, Run

PAGE_SIZE = 1000

EPILOG = """\
--filter and --order-by speak of status, create_time, start_time, end_time, tags.KEY, properties.KEY, run_id, parent,
ancestor, display_name, creator, target, metrics.NAME.last, .min, .max, .count and more. The query, unlike them, is
about what was listed.

\b
Examples:
  runstream run list --last 0 --status Failed
  runstream run list --filter 'start_time > -24h AND tags.model = "resnet*"'
  runstream run list --include-children --order-by 'metrics.accuracy.max desc'
  runstream run list "[?tags.quality=='fantastic run'].run_id" -o tsv
"""


@click.command("list", cls=PlacedCommand, epilog=EPILOG)
@selecting_runs
@click.option(
    "--order-by", metavar="FIELD [desc]", help="Sorts by a field of the filter language. Default: newest first."
)
@click.option("--last", type=click.IntRange(0), default=10, show_default=True, metavar="N", help="How many; 0: all.")
@click.option("--minimal", is_flag=True, help="Only id, type, status, times, target and tags.")
@pass_session
def list_runs(session: Session, selection: Selection, order_by: str | None, last: int, minimal: bool) -> None:
    """List runs, newest first.

    They are those of the experiment, or of the workspace when there is none; top-level ones only, unless asked
    otherwise.
    """
    selection = replace(selection, experiment=session.place.experiment)
    runs = fetch_runs(session, selection, last, order_by)
    if minimal:
        session.show([minimal_document(run) for run in runs], minimal_table())
    else:
        view = runs_table(with_experiment=not selection.experiment, ordered_by=ranking_column(order_by, runs))
        session.show([run_document(run) for run in runs], view)
    if not runs:
        session.say(f"There are no such runs in {session.describe_place()}.")


def fetch_runs(session: Session, selection: Selection, last: int, order_by: str | None = None) -> list[Run]:
    """The first `last` of the selected runs, all of them if that is 0."""
    request = ListRunsRequest(
        parent=session.workspace,
        filter=selection.to_filter(),
        order_by=order_by or "",
        page_size=min(last or PAGE_SIZE, PAGE_SIZE),
        view=RUN_VIEW_FULL if is_by_metric(order_by) else RUN_VIEW_BASIC,
    )
    return list(islice(_all_runs(session, request), last or None))


def _all_runs(session: Session, request: ListRunsRequest) -> Iterator[Run]:
    for page in session.services.pages(lambda c: c.runs.ListRuns, request):
        yield from page.runs
