"""The commands of `runstream artifact`."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from runstream._channel import loop
from runstream._cli import moments
from runstream._cli.commands import Group
from runstream._cli.documents import artifact_document
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream._cli.tables import Column, listing
from runstream.api.artifacts.v1.artifact_service_pb2 import Artifact, ListArtifactsRequest
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.core import Run
from runstream.core._run.files import inside
from runstream.exceptions import ServiceException

PAGE_SIZE = 10_000

GET_EXAMPLES = """\
\b
Examples:
  runstream artifact get -r RUN outputs/model.joblib    # ./model.joblib
  runstream artifact get -r RUN outputs -d results      # results/outputs/...
"""


@click.group(cls=Group)
def artifact() -> None:
    """List and download the files of runs."""


@artifact.command(epilog="Example: runstream artifact ls -r RUN --prefix outputs/")
@run_option
@click.option("--prefix", default="", metavar="TEXT", help="Only paths that start with this text.")
@pass_session
def ls(session: Session, run: str, prefix: str) -> None:
    """List the files of a run, its log files apart."""
    files = list(_files(session, run, prefix))
    if not files:
        session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=session.run_name(run)))
        session.say(f"Run {run} has no such files.")
    session.show([artifact_document(file) for file in files], FILES)


@artifact.command(epilog=GET_EXAMPLES)
@run_option
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-d", "--output-dir", default=".", metavar="FOLDER", help="Where to write them. Default: here.")
@pass_session
def get(session: Session, run: str, paths: Sequence[str], output_dir: str) -> None:
    """Download files of a run. Lists what was written.

    PATH is a file or a folder; all is downloaded when there is none. The bytes are checked against their
    SHA-256. A file that exists is replaced.
    """
    record = sdk_run(session, run)
    names = [file.path for file in _files(session, run, "")]
    targets = plan(names, paths, Path(output_dir))
    session.show([str(target) for target in loop.run(_download(record, targets))])


def plan(names: Sequence[str], paths: Sequence[str], folder: Path) -> dict[Path, str]:
    """Which of the files of a run is written where, as `cp -r PATH... folder` would.

    Raises:
        ServiceException: The run has nothing at a path; `status_code` is 404.
        UserErrorException: The name of a file leads out of a folder.
        UsageError: Two files would be written to the same place.
    """
    targets: dict[Path, str] = {}
    for path in paths or [""]:
        found = [name for name in names if name == path or name.startswith(f"{path.rstrip('/')}/" if path else "")]
        if not found and path:
            raise ServiceException(f"The run has no file or folder {path}.", status_code=404)
        base = path.rstrip("/").rpartition("/")[0]
        for name in found:
            target = folder / inside(name[len(base) + 1 if base else 0 :])
            if targets.setdefault(target, name) != name:
                raise click.UsageError(f"Both {targets[target]} and {name} would be written to {target}.")
    return targets


async def _download(run: Run, targets: dict[Path, str]) -> list[Path]:
    for target, name in targets.items():
        await run._download(name, target)
    return list(targets)


def _files(session: Session, run: str, prefix: str) -> Iterator[Artifact]:
    request = ListArtifactsRequest(parent=session.run_name(run), prefix=prefix, page_size=PAGE_SIZE)
    for page in session.services.pages(lambda c: c.artifacts.ListArtifacts, request):
        yield from page.artifacts


FILES = listing(
    Column("Path", lambda file: file["path"]),
    Column("Size", lambda file: moments.size(file["size_bytes"]), is_number=True),
    Column("Stored", lambda file: moments.ago(file["created_utc"]), rank=1),
    Column("SHA-256", lambda file: file["sha256"], rank=2),
)
