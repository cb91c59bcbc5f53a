"""Follows a run that was submitted: what it writes, and how it stands."""

import sys
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Final

import click

from runstream._cli import moments
from runstream._cli.documents import time_of
from runstream._cli.exits import ExitCode
from runstream._cli.output import write_bytes
from runstream._cli.run.change import outcome
from runstream._cli.run_job import document_with_job
from runstream._cli.run_tables import run_card
from runstream._cli.session import Session
from runstream.api.runs.v1.run_history_service_pb2 import CancelRunRequest
from runstream.core._run.waiting import Piece, pull
from runstream.core._status import CANCELED, COMPLETED, FAILED

if TYPE_CHECKING:
    from runstream.core import Run

CANCEL_SECONDS: Final = 3.0
"""How long after a Ctrl-C another one cancels the run."""
CODES: Final = {COMPLETED: ExitCode.FINE, FAILED: ExitCode.RUN_FAILED, CANCELED: ExitCode.RUN_FAILED}

Take = Callable[[Piece], None]


def follow(session: Session, run: "Run") -> int:
    """Shows what a run writes until it has ended; what to exit with.

    On a terminal there is a line below that says how the run stands. Ctrl-C ends it, and a second one soon after it
    cancels the run.
    """
    pieces = run._output(wait_post_processing=True, raise_on_error=False)
    try:
        with _view(session, run) as take:
            pull(pieces, take)
    except KeyboardInterrupt:
        _detach(session, run.id)
        return ExitCode.INTERRUPTED
    lasted = moments.took(time_of(run._record, "start_time"), time_of(run._record, "end_time"))
    session.say(f"Run {run.id} is {run.status}" + (f" after {lasted}." if lasted else "."))
    return CODES.get(run.status, ExitCode.FINE)


def show_run(session: Session, run: "Run") -> None:
    """Shows the document of a run."""
    session.show(document_with_job(session, run._record), run_card())


def has_asked_for_result(session: Session) -> bool:
    """Whether stdout is for the document of the run, and what the run writes goes to stderr."""
    settings = session.settings
    return bool(settings.output or settings.query or settings.output_metadata_file)


def _view(session: Session, run: "Run") -> AbstractContextManager[Take]:
    if session.output.is_picture and not session.settings.only_show_errors:
        from runstream._cli.run.live import LiveView

        return LiveView(run)
    return nullcontext(_plain(session))


def _plain(session: Session) -> Take:
    """Writes the bytes of a log as they are, and what surrounds them to stderr."""
    has_result = has_asked_for_result(session)

    def take(piece: Piece) -> None:
        if isinstance(piece, str):
            if not session.settings.only_show_errors:
                click.echo(piece, nl=False, err=True)
        elif has_result:
            sys.stderr.buffer.write(piece)
            sys.stderr.buffer.flush()
        else:
            write_bytes(piece)

    return take


def _detach(session: Session, run: str) -> None:
    """Says how to go on, and waits a moment for whoever wants the run cancelled."""
    click.echo(
        f"\nDetached, the run goes on. `runstream run attach -r {run}` follows it again; "
        f"`runstream run cancel -r {run}` cancels it, and so does Ctrl-C within {CANCEL_SECONDS:g} seconds.",
        err=True,
    )
    try:
        threading.Event().wait(CANCEL_SECONDS)
    except KeyboardInterrupt:
        request = CancelRunRequest(name=session.run_name(run))
        click.echo(outcome(run, session.services.call(lambda c: c.runs.CancelRun, request)), err=True)
