"""`log search`."""

from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Any

import click

from runstream._channel import Connection
from runstream._cli.commands import PlacedCommand
from runstream._cli.documents import Document, match_document
from runstream._cli.output import console
from runstream._cli.session import Session, pass_session
from runstream.api.logs.v1.log_service_pb2 import SearchLogsRequest, SearchLogsResponse
from runstream.core._filters import all_of, equals
from runstream.core._log_search import search_logs
from runstream.core._run.waiting import pull

EXAMPLES = """\
\b
Examples:
  runstream log search "CUDA out of memory" -r RUN
  runstream log search -i --regex 'loss[:=] *nan' -e digits -C 2
  runstream log search Traceback --filter 'status = "Failed"'
"""
LIMIT = "How many matching lines at most; 0: all."

Responses = AsyncGenerator[SearchLogsResponse, None]


@click.command(cls=PlacedCommand, epilog=EXAMPLES)
@click.argument("pattern")
@click.option("-r", "--run", "runs", multiple=True, metavar="RUN", help="Only this run. May be repeated.")
@click.option("--filter", "selection", metavar="TEXT", help="Only runs that this filter admits; see `run list`.")
@click.option("--log-path", "paths", multiple=True, metavar="PATH", help="Only this log file. May be repeated.")
@click.option("--regex", is_flag=True, help="PATTERN is a regular expression, in the syntax of RE2.")
@click.option("-i", "--ignore-case", is_flag=True, help="Upper and lower case are the same.")
@click.option("-C", "--context", type=click.IntRange(0, 100), default=0, metavar="N", help="Lines around each match.")
@click.option("-B", "--before", type=click.IntRange(0, 100), metavar="N", help="Lines before each match.")
@click.option("-A", "--after", type=click.IntRange(0, 100), metavar="N", help="Lines after each match.")
@click.option("--max", "limit", type=click.IntRange(0), default=1_000, show_default=True, metavar="N", help=LIMIT)
@pass_session
def search(session: Session, pattern: str, runs: Sequence[str], limit: int, **asked: Any) -> None:
    """Find the lines of logs that contain a text.

    It searches the logs of all runs of the experiment, or of the workspace when there is none, unless
    told which. Of long lines a part is shown.
    """
    if runs and asked["selection"]:
        raise click.UsageError("--run and --filter do not go together.")
    responses = search_logs(_connector(session), _request(session, pattern, runs, **asked), limit)
    if session.output.how == "table" and not session.settings.query:
        count = _print(responses)
    else:
        count = _show(session, responses)
    if not count:
        session.say("No line matches.")
    elif count == limit:
        session.say(f"These are the first {limit} matches; --max 0 shows all.")


def _request(
    session: Session,
    pattern: str,
    runs: Sequence[str],
    *,
    selection: str | None,
    paths: Sequence[str],
    regex: bool,
    ignore_case: bool,
    context: int,
    before: int | None,
    after: int | None,
) -> SearchLogsRequest:
    experiment = equals("experiment", session.place.experiment)
    request = SearchLogsRequest(
        parent=session.workspace,
        runs=[session.run_name(run) for run in runs],
        filter="" if runs else all_of(selection or "", experiment),
        paths=paths,
        ignore_case=ignore_case,
        lines_before=context if before is None else before,
        lines_after=context if after is None else after,
    )
    if regex:
        request.regex = pattern
    else:
        request.literal = pattern.encode("utf-8", "surrogateescape")
    return request


def _connector(session: Session) -> Callable[[], Connection]:
    return lambda: Connection.to(session.place.address)


def _print(responses: Responses) -> int:
    """Prints matches as they are found; returns how many."""
    from runstream._cli.log.matches import MatchPrinter

    printer, counts = MatchPrinter(console()), [0]

    def take(response: SearchLogsResponse) -> None:
        counts.append(len(response.matches))
        for match in response.matches:
            printer.add(match)

    pull(responses, take)
    printer.finish()
    return sum(counts)


def _show(session: Session, responses: Responses) -> int:
    found: list[Document] = []
    pull(responses, lambda response: found.extend(map(match_document, response.matches)))
    session.show(found)
    return len(found)
