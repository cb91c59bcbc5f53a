"""The commands of `runstream artifact`."""

import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click

from runstream._channel import Connection, loop
from runstream._cli import moments
from runstream._cli.commands import Group
from runstream._cli.confirmation import confirm, yes_option
from runstream._cli.documents import artifact_document
from runstream._cli.exits import ExitCode
from runstream._cli.meter import INTERRUPTED, metered
from runstream._cli.missing import names_told, what_there_is
from runstream._cli.sdk import sdk_run
from runstream._cli.session import Session, pass_session
from runstream._cli.settings import run_option
from runstream._cli.tables import Column, listing
from runstream._transfer import download_listed, upload
from runstream._transfer.places import Below, check_files
from runstream._transfer.progress import Meter
from runstream.api.artifacts.v1.artifact_service_pb2 import (
    Artifact,
    DeleteArtifactsRequest,
    ListArtifactsRequest,
    ListArtifactsResponse,
    ReadArtifactRequest,
)
from runstream.api.runs.v1.run_history_service_pb2 import GetRunRequest
from runstream.core._run.files import inside
from runstream.core._run.sources import files_below
from runstream.exceptions import ServiceException

PAGE_SIZE = 10_000

FOLDER = {"path": "", "size_bytes": None, "sha256": None, "created_utc": None}

LS_EXAMPLES = """\
\b
Examples:
  runstream artifact ls -r RUN --prefix outputs/
  runstream artifact ls -r RUN --folders        # what is on top
"""
GET_EXAMPLES = """\
\b
Examples:
  runstream artifact get -r RUN outputs/model.joblib    # ./model.joblib
  runstream artifact get -r RUN outputs -d results      # results/outputs/...
"""
PUT_EXAMPLES = """\
\b
Examples:
  runstream artifact put -r RUN a.joblib -d outputs    # outputs/a.joblib
  runstream artifact put -r RUN checkpoints            # checkpoints/...
"""
RM_EXAMPLES = """\
\b
Examples:
  runstream artifact rm -r RUN outputs/model.joblib
  runstream artifact rm -r RUN outputs/checkpoints/ --yes
"""


@click.group(cls=Group)
def artifact() -> None:
    """List, download, upload and remove the files of runs."""


@artifact.command(epilog=LS_EXAMPLES)
@run_option
@click.option("--prefix", default="", metavar="TEXT", help="Only paths that start with this text.")
@click.option("--folders", is_flag=True, help="Folders in the place of what is in them.")
@pass_session
def ls(session: Session, run: str, prefix: str, folders: bool) -> None:
    """List the files of a run, its log files apart."""
    found: list[dict[str, Any]] = []
    for page in _pages(session, run, prefix, "/" if folders else ""):
        found.extend({**FOLDER, "path": folder} for folder in page.folders)
        found.extend(map(artifact_document, page.artifacts))
    if not found:
        session.services.call(lambda c: c.runs.GetRun, GetRunRequest(name=session.run_name(run)))
        session.say(f"Run {run} has no such files.")
    session.show(sorted(found, key=lambda file: file["path"]), FILES)


@artifact.command(epilog=GET_EXAMPLES)
@run_option
@click.argument("paths", nargs=-1, metavar="[PATH]...")
@click.option("-d", "--output-dir", default=".", metavar="FOLDER", help="Where to write them. Default: here.")
@pass_session
def get(session: Session, run: str, paths: Sequence[str], output_dir: str) -> int | None:
    """Download files of a run. Lists what was written.

    PATH is a file or a folder; all is downloaded when there is none. The bytes are checked against their
    SHA-256. A file that exists is replaced, and nothing is written outside of the folder. After Ctrl-C the same
    command goes on where it stopped in a large file.
    """
    record = sdk_run(session, run)
    listed = {file.path: file for file in _files(session, run, "")}
    targets = plan(list(listed), paths, Path(output_dir))

    async def work(connection: Connection, meter: Meter) -> None:
        files = [(listed[name], target) for target, name in targets.items()]
        await download_listed(connection, record._record.name, files, meter=meter)

    if not _transfer(session, "Downloading", work):
        return ExitCode.INTERRUPTED
    session.show([str(target) for target in targets])
    return None


@artifact.command(epilog=PUT_EXAMPLES)
@run_option
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", type=click.Path(exists=True, path_type=Path))
@click.option("-d", "--folder", default="", metavar="FOLDER", help="The folder of the run. Default: the top.")
@pass_session
def put(session: Session, run: str, sources: Sequence[Path], folder: str) -> int | None:
    """Upload files and folders to a run. Lists what was stored.

    Bytes that the workspace has are not sent again. A path that has other bytes in the run is refused; `artifact rm`
    removes it. After Ctrl-C the same command goes on where it stopped in a large file.
    """
    record = sdk_run(session, run)
    files = [file for source in sources for file in _named(source, folder.strip("/"))]

    async def work(connection: Connection, meter: Meter) -> None:
        await upload(connection, record._record.name, files, meter=meter)

    if not _transfer(session, "Uploading", work):
        return ExitCode.INTERRUPTED
    session.show([name for name, _ in files])
    return None


@artifact.command(epilog="Example: runstream artifact cat -r RUN outputs/report.json")
@run_option
@click.argument("file", metavar="PATH")
@pass_session
def cat(session: Session, run: str, file: str) -> None:
    """Print the bytes of a file of a run."""

    async def work(connection: Connection) -> None:
        request = ReadArtifactRequest(run=session.run_name(run), path=file)
        async for response in connection.stream(connection.artifacts.ReadArtifact, request):
            sys.stdout.buffer.write(response.data)

    with _names_told(session, run, f"file {file}"):
        session.services.run(work)


@artifact.command(epilog=RM_EXAMPLES)
@run_option
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@yes_option
@pass_session
def rm(session: Session, run: str, paths: Sequence[str], yes: bool) -> None:
    """Remove files of a run for good. PATH is a file, or a folder if it ends with a slash."""
    confirm(f"Remove {', '.join(paths)} from run {run} for good?", yes)
    name = session.run_name(run)
    requests = [DeleteArtifactsRequest(run=name, prefix=path) for path in paths if path.endswith("/")]
    if files := [path for path in paths if not path.endswith("/")]:
        requests.append(DeleteArtifactsRequest(run=name, paths=files))
    count = sum(session.services.call(lambda c: c.artifacts.DeleteArtifacts, each).deleted_count for each in requests)
    session.say(f"Removed {count:,} {'file' if count == 1 else 'files'}.")
    if files and not count:
        session.say("A folder is named with a slash at its end, outputs/ for example.")
    session.show({"deleted_count": count})


def plan(names: Sequence[str], paths: Sequence[str], folder: Path) -> dict[Path, str]:
    """Which of the files of a run is written where, as `cp -r PATH... folder` would.

    Raises:
        ServiceException: The run has nothing at a path; `status_code` is 404.
        UserErrorException: The name of a file leads out of the folder, also by a link in it; or it is a folder too.
        UsageError: Two files would be written to the same place.
    """
    targets: dict[Path, str] = {}
    below = Below(folder)
    for path in paths or [""]:
        found = [name for name in names if name == path or name.startswith(f"{path.rstrip('/')}/" if path else "")]
        if not found and path:
            raise ServiceException(
                f"The run has no file or folder {path}. {what_there_is('files', names)}.", status_code=404
            )
        base = path.rstrip("/").rpartition("/")[0]
        for name in found:
            target = below.place(inside(name)[len(base) + 1 if base else 0 :])
            if targets.setdefault(target, name) != name:
                raise click.UsageError(f"Both {targets[target]} and {name} would be written to {target}.")
    check_files(folder, list(targets))
    return targets


def _named(source: Path, folder: str) -> list[tuple[str, Path | bytes]]:
    """The files of a source, each with its name in the run."""
    name = f"{folder}/{source.resolve().name}".lstrip("/")
    return files_below(name, source) if source.is_dir() else [(name, source)]


def _transfer(session: Session, title: str, work: Callable[[Connection, Meter], Coroutine[Any, Any, None]]) -> bool:
    """Does the work with a bar to look at; false: it was interrupted."""
    try:
        with metered(session.settings, title) as meter:
            session.services.run(lambda connection: work(connection, meter))
    except KeyboardInterrupt:
        loop.stop()  # waits until what arrived is noted
        session.say(INTERRUPTED)
        return False
    return True


def _names_told(session: Session, run: str, wanted: str) -> AbstractContextManager[None]:
    names = (file.path for file in _files(session, run, ""))
    return names_told("ARTIFACT_NOT_FOUND", f"Run {run} has no {wanted}", "files", lambda: names)


def _files(session: Session, run: str, prefix: str) -> Iterator[Artifact]:
    for page in _pages(session, run, prefix, ""):
        yield from page.artifacts


def _pages(session: Session, run: str, prefix: str, delimiter: str) -> Iterator[ListArtifactsResponse]:
    request = ListArtifactsRequest(
        parent=session.run_name(run), prefix=prefix, delimiter=delimiter, page_size=PAGE_SIZE
    )
    return session.services.pages(lambda c: c.artifacts.ListArtifacts, request)


FILES = listing(
    Column("Path", lambda file: file["path"]),
    Column("Size", lambda file: "" if file["size_bytes"] is None else moments.size(file["size_bytes"]), is_number=True),
    Column("Stored", lambda file: moments.ago(file["created_utc"]) if file["created_utc"] else "", rank=1),
    Column("SHA-256", lambda file: file["sha256"] or "", rank=2),
)
