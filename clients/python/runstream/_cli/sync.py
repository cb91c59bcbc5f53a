"""`sync`."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import click

from runstream._channel import loop
from runstream._cli.commands import Command
from runstream._cli.exits import ExitCode
from runstream._cli.session import Session, pass_session
from runstream._journal.sync import Outcome, pending_bytes
from runstream._journal.sync import sync as upload
from runstream._spool.inventory import groups_in
from runstream._spool.places import spool_root

EXAMPLES = """\
\b
Examples:
  runstream sync
  runstream sync /mnt/from-the-cluster/spool --address runs.example.org:7878
"""


@click.command(name="sync", cls=Command, epilog=EXAMPLES)
@click.argument(
    "folder", metavar="[DIR]", required=False, type=click.Path(exists=True, file_okay=False, path_type=Path)
)
@pass_session
def sync(session: Session, folder: Path | None) -> int:
    """Upload what was recorded without the services.

    It uploads what RUNSTREAM_MODE=offline kept on this machine, and what could not be sent since. DIR is another folder
    of spools, one that was copied from a cluster for example. It may be interrupted and repeated, nothing is stored
    twice. With --address all of it goes there.
    """
    root = folder or spool_root()
    with _progress(sum(map(pending_bytes, groups_in(root)))) as tell:
        address = session.settings.address or ""
        outcome = loop.run(upload(root, lambda: session.place.address, address, tell))
    for trouble in outcome.troubles:
        session.say(f"{trouble.what}: {trouble.message}")
    session.show(_document(outcome))
    return ExitCode.REFUSED if outcome.troubles else ExitCode.FINE


def _document(outcome: Outcome) -> dict[str, object]:
    found = asdict(outcome)
    troubles = [each._asdict() for each in outcome.troubles]
    return {
        "runs": found["run_count"],
        "stored_bytes": found["byte_count"],
        "left_bytes": found["left_bytes"],
        "troubles": troubles,
    }


@contextmanager
def _progress(total: int) -> Iterator[Callable[[int], None]]:
    """Shows how much is left, where a person looks."""
    if not sys.stderr.isatty():
        yield lambda left: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("Uploading"), BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=total)
        yield lambda left: progress.update(task, completed=max(total - left, 0))
