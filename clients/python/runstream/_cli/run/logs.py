"""`run monitor-logs` and `run download-logs`."""

import sys
from collections.abc import AsyncGenerator

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.exits import ExitCode
from runstream._cli.output import write_bytes
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.api.logs.v1.log_service_pb2 import TailLogRequest
from runstream.core import Run
from runstream.core._log_tail import LogTail
from runstream.core._run.waiting import Piece, pull

MONITOR_EXAMPLES = """\
\b
Examples:
  runstream run monitor-logs -r RUN
  runstream run monitor-logs -r RUN --log-path logs/user_log.txt | grep loss
"""


@click.command("monitor-logs", cls=PlacedCommand, epilog=MONITOR_EXAMPLES)
@run_option
@click.option("--log-path", metavar="PATH", help="The log file to follow. Default: the output of the script.")
@pass_session
def monitor_logs(session: Session, run: str, log_path: str | None) -> None:
    """Follow what a run writes, until it ends. Ctrl-C stops the following, not the run.

    Titles and the summary at the end go to stderr.
    """
    followed = sdk_run(session, run)
    if log_path:
        pieces = _text(followed, log_path)
    else:
        pieces = followed._output(wait_post_processing=True, raise_on_error=False)
    try:
        pull(pieces, lambda piece: _write(session, piece))
    except KeyboardInterrupt:
        session.say(f"\nStopped following. Run {run} goes on; `runstream run cancel -r {run}` would end it.")
        sys.exit(ExitCode.INTERRUPTED)


@click.command("download-logs", cls=PlacedCommand, epilog="Example: runstream run download-logs -r RUN -d logs-of-run")
@run_option
@click.option("-d", "--output-dir", metavar="FOLDER", help="Where to write them. Default: ./assets/RUN.")
@pass_session
def download_logs(session: Session, run: str, output_dir: str | None) -> None:
    """Download the log files of a run. Lists what was written."""
    written = sdk_run(session, run).get_all_logs(output_dir)
    if not written:
        session.say(f"Run {run} has no logs.")
    session.show(written)


async def _text(run: Run, path: str) -> AsyncGenerator[Piece, None]:
    request = TailLogRequest(run=run._record.name, path=path)
    async for response in LogTail(run._connection, request).responses():
        yield response.data


def _write(session: Session, piece: Piece) -> None:
    """Writes the bytes of a log as they are, and what surrounds them to stderr."""
    if isinstance(piece, bytes):
        write_bytes(piece)
    elif not session.settings.only_show_errors:
        click.echo(piece, nl=False, err=True)
