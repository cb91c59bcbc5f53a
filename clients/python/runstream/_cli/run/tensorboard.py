"""`run monitor-tensorboard`."""

import signal
import sys
from typing import Final, NoReturn

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.exits import ExitCode
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option

SIGNALED: Final = 128
"""What shells add to the number of a signal that ended a process."""

EXAMPLES = """\
\b
Examples:
  runstream run monitor-tensorboard -r RUN
  runstream run monitor-tensorboard -r RUN --local-directory boards
"""


@click.command("monitor-tensorboard", cls=PlacedCommand, epilog=EXAMPLES)
@run_option
@click.option(
    "--local-directory", metavar="FOLDER", help="Where the files go. Default: a temporary folder, removed at the end."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=6006,
    show_default=True,
    help="Of TensorBoard; the next free one if it is taken.",
)
@pass_session
def monitor_tensorboard(session: Session, run: str, local_directory: str | None, port: int) -> int:
    """Show a run in TensorBoard until Ctrl-C.

    Event files that the run writes to logs/ appear as they grow. Prints the URL when TensorBoard answers, which goes on
    when the run has ended.
    """
    from runstream.tensorboard import Tensorboard

    signal.signal(signal.SIGTERM, _end)
    board = Tensorboard([sdk_run(session, run)], local_directory, port)
    try:
        session.show(board.start())
        session.say("Ctrl-C ends TensorBoard, not the run.")
        said = board._join(lambda: session.say(f"Run {run} has ended; nothing more comes of it."))
    except KeyboardInterrupt:
        sys.exit(ExitCode.INTERRUPTED)
    finally:
        board.stop()
    session.say(f"TensorBoard has ended. {said}")
    return ExitCode.OTHER


def _end(number: int, _: object) -> NoReturn:
    """Ends the process, which removes the temporary folder."""
    sys.exit(SIGNALED + number)
