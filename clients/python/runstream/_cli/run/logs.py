"""`run monitor-logs` and `run download-logs`."""

import codecs
import io
import sys
from typing import TextIO

import click

from runstream._channel import loop
from runstream._cli.commands import PlacedCommand
from runstream._cli.exits import ExitCode
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.core import Run

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
    titles = io.StringIO() if session.settings.only_show_errors else sys.stderr
    try:
        loop.run(_print_log(followed, log_path) if log_path else _print_output(followed, titles))
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


async def _print_output(run: Run, titles: TextIO) -> None:
    await run._show_output(wait_post_processing=True, raise_on_error=False, out=sys.stdout, titles=titles)


async def _print_log(run: Run, path: str) -> None:
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    async for chunk in run._chunks(path):
        click.echo(decoder.decode(chunk), nl=False)
