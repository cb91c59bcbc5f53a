"""`run download-snapshot`."""

from pathlib import Path
from tempfile import TemporaryDirectory

import click

from runstream._cli.commands import PlacedCommand
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option

EXAMPLES = """\
\b
Examples:
  runstream run download-snapshot -r RUN -d source-of-run
  runstream run download-snapshot -r RUN --zip
"""


@click.command("download-snapshot", cls=PlacedCommand, epilog=EXAMPLES)
@run_option
@click.option("-d", "--output-dir", metavar="FOLDER", help="Where to write it. Default: ./RUN; with --zip: here.")
@click.option("--zip", "is_zip", is_flag=True, help="As one archive, `<snapshot id>.zip`.")
@pass_session
def download_snapshot(session: Session, run: str, output_dir: str | None, is_zip: bool) -> None:
    """Download the source folder of a run as it was. Lists what was written.

    The files are checked against their SHA-256. Those that exist are replaced, others in the folder stay, and nothing
    is written outside of it.
    """
    from runstream._snapshot.archive import unpack

    record = sdk_run(session, run)
    if is_zip:
        session.show([record.restore_snapshot(path=output_dir or ".")])
        return
    with TemporaryDirectory(prefix="runstream-") as folder:
        archive = Path(record.restore_snapshot(path=folder))
        session.show([str(file) for file in unpack(archive, Path(output_dir or run))])
