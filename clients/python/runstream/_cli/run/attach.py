"""`run attach` and `run clean`."""

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.run.follow import follow, has_asked_for_result, show_run
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option


@click.command(cls=PlacedCommand, epilog="Example: runstream run attach -r RUN")
@run_option
@pass_session
def attach(session: Session, run: str) -> int:
    """Follow a run until it ends, as submit-script does.

    Ctrl-C once stops following, the run goes on; twice cancels the run. The exit code tells how the run ended.
    """
    attached = sdk_run(session, run)
    code = follow(session, attached)
    if has_asked_for_result(session):
        show_run(session, attached)
    return code


@click.command(cls=PlacedCommand, epilog="Example: runstream run clean -r RUN")
@run_option
@pass_session
def clean(session: Session, run: str) -> None:
    """Remove the working folder of a run from this machine.

    The run must have ended. Nothing recorded is lost.
    """
    sdk_run(session, run).clean()
    session.say(f"Nothing of run {run} is left on this machine.")
