"""`log cat`."""

import sys
from collections.abc import AsyncGenerator
from typing import Any

import click

from runstream._channel import loop
from runstream._cli.commands import PlacedCommand
from runstream._cli.exits import ExitCode
from runstream._cli.log.stamps import Stamper
from runstream._cli.missing import names_told
from runstream._cli.output import write_bytes
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream.api.logs.v1.log_service_pb2 import (
    LineRange,
    ReadLogRequest,
    ReadLogResponse,
    TailLogRequest,
    TailLogResponse,
)
from runstream.core import Run
from runstream.core._log_reading import read_log
from runstream.core._log_tail import LogTail
from runstream.core._run.logs import STANDARD_LOG
from runstream.core._run.waiting import pull
from runstream.exceptions import ServiceException

EXAMPLES = """\
\b
Examples:
  runstream log cat -r RUN                              # what was printed
  runstream log cat -r RUN user_logs/python_log.txt
  runstream log cat -r RUN --lines 1000:1020
  runstream log cat -r RUN --tail 50 --follow --timestamps
"""


Response = ReadLogResponse | TailLogResponse


class Lines(click.ParamType):  # type: ignore[type-arg]
    """Line numbers: `10:20`, `10:`, `:20` or `10`, counted from 1."""

    name = "lines"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> LineRange:
        """The range that a text means."""
        first, separator, last = str(value).partition(":")
        try:
            found = LineRange(first=int(first or 1), last=int(last or 0) if separator else int(first))
        except ValueError:
            self.fail(f"{value!r} is no range of lines; 10:20 is one.", param, ctx)
        if found.first < 1 or found.last < 0 or 0 < found.last < found.first:
            self.fail(f"{value!r} is no range of lines: they are counted from 1, and the last follows the first.")
        return found


@click.command(cls=PlacedCommand, epilog=EXAMPLES)
@run_option
@click.argument("log_path", metavar="[PATH]", required=False)
@click.option("--lines", type=Lines(), metavar="FIRST:LAST", help="Only these lines, counted from 1.")
@click.option("--tail", type=click.IntRange(1), metavar="N", help="Only the last N lines.")
@click.option("-f", "--follow", is_flag=True, help="Go on as it grows, until its writer or the run ends.")
@click.option("--timestamps", is_flag=True, help="Begin each line with the time at which it was written, in UTC.")
@pass_session
def cat(session: Session, run: str, log_path: str | None, follow: bool, **asked: Any) -> None:
    """Write a log file of a run to stdout, byte for byte.

    PATH is what `runstream log ls` tells; by default it is what the script printed. Ctrl-C stops the
    following, not the run.
    """
    if asked["lines"] and (asked["tail"] or follow):
        raise click.UsageError("--lines goes neither with --tail nor with --follow.")
    found = sdk_run(session, run)
    chosen = log_path or _printed(found, run, follow=follow)
    responses = (_followed if follow else _read)(found, chosen, **asked)
    stamper = Stamper() if asked["timestamps"] else None
    try:
        with names_told("LOG_NOT_FOUND", f"Run {run} has no log {chosen}", "logs", lambda: _names(found)):
            pull(responses, lambda response: write_bytes(stamper.stamp(response) if stamper else response.data))
    except KeyboardInterrupt:
        if follow:
            session.say(f"\nStopped following. Run {run} goes on; `runstream run cancel -r {run}` would end it.")
        sys.exit(ExitCode.INTERRUPTED)


def _names(run: Run) -> list[str]:
    return [file.path for file in loop.run(run._list_logs())]


def _followed(
    run: Run, path: str, *, lines: None, tail: int | None, timestamps: bool
) -> AsyncGenerator[Response, None]:
    request = TailLogRequest(run=run._record.name, path=path, last_lines=tail or 0, with_times=timestamps)
    return LogTail(run._connection, request).responses()


def _read(
    run: Run, path: str, *, lines: LineRange | None, tail: int | None, timestamps: bool
) -> AsyncGenerator[Response, None]:
    request = ReadLogRequest(run=run._record.name, path=path, lines=lines, with_times=timestamps)
    if tail:
        request.last_lines = tail
    return read_log(run._connection, request)


def _printed(run: Run, run_id: str, *, follow: bool) -> str:
    """The log file of what the script of a run printed.

    Raises:
        ServiceException: It has none, and it is not to be waited for; `status_code` is 404.
    """
    log = loop.run(run._shown_log())
    if log is not None:
        return log.path
    if not follow:
        raise ServiceException(f"Run {run_id} has no log of what was printed; see `runstream log ls`.", status_code=404)
    return STANDARD_LOG
