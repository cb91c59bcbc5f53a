"""`spool ls`, `spool verify` and `spool rm`."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from runstream._cli.commands import Command, Group
from runstream._cli.exits import ExitCode
from runstream._cli.session import Session, pass_session
from runstream._journal.journal import (
    JournalDamaged,
    done_bytes,
    journals_in,
    read_entries,
    remove_journal,
)
from runstream._spool.format import SpoolDamaged
from runstream._spool.inventory import Found, groups_in, look_at, remove, verify
from runstream._spool.lock import is_live
from runstream._spool.places import SPOOL_SUFFIX, spool_root, spools_in


class SpoolGroup(Group):
    """Its commands need no workspace."""

    command_class = Command


FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
EPILOG = """\
\b
Examples:
  runstream spool ls -o table
  runstream spool verify
  runstream spool rm --force 0123456789abcdef0123456789abcdef
"""


@click.group(cls=SpoolGroup, epilog=EPILOG)
def spool() -> None:
    """Look at what is recorded on this machine and not stored yet."""


@spool.command(epilog="Example: runstream spool ls --query '[?pending_bytes > `0`]'")
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@pass_session
def ls(session: Session, folder: Path | None) -> None:
    """List spools and journals, and how much of each is not stored.

    A spool is `live` while a process writes it, `left` after that, `stopped` when the services did not want more of it,
    and `damaged` when nobody can tell whose it is. A journal is what a process asked of the services offline.
    """
    root = folder or spool_root()
    session.show([*map(_spool_document, _spools(root)), *map(_journal_document, _journals(root))])


@spool.command(name="verify", epilog="Example: runstream spool verify /mnt/from-the-cluster/spool")
@click.argument("folder", metavar="[DIR]", required=False, type=FOLDER)
@pass_session
def verify_(session: Session, folder: Path | None) -> int:
    """Read all spools and journals, and tell which bytes are damaged.

    What is damaged is lost, what follows it is not. The exit code is 1 if anything is damaged.
    """
    root = folder or spool_root()
    findings = [*map(_verify_spool, _spools(root)), *map(_verify_journal, _journals(root))]
    session.show(findings)
    return ExitCode.OTHER if any(finding["damages"] for finding in findings) else ExitCode.FINE


@spool.command(epilog="Example: runstream spool rm --force 0123456789abcdef0123456789abcdef")
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option("--folder", metavar="DIR", type=FOLDER, help="Another folder of spools.")
@click.option("--force", is_flag=True, help="Also what is not stored.")
@pass_session
def rm(session: Session, names: tuple[str, ...], folder: Path | None, force: bool) -> None:
    """Remove spools or journals by the names that `ls` tells.

    What is not stored is removed with --force only, and what somebody writes not at all. All of them, or none.
    """
    root = folder or spool_root()
    known = {path.stem: path for path in [*(each.path for each in _spools(root)), *_journals(root)]}
    if missing := [name for name in names if name not in known]:
        raise click.UsageError(f"There is no spool {missing[0]}; `runstream spool ls` lists those there are.")
    chosen = [known[name] for name in names]
    for path in chosen:
        _refuse_to_remove(path, force)
    for path in chosen:
        (remove if path.suffix == SPOOL_SUFFIX else remove_journal)(path)
    session.say(f"{len(chosen)} removed.")


def _refuse_to_remove(path: Path, force: bool) -> None:
    if is_live(path):
        raise click.UsageError(f"A process writes {path.stem}: end it first.")
    found = look_at(path) if path.suffix == SPOOL_SUFFIX else None
    pending = found.pending_bytes if found else _journal_document(path)["pending_bytes"]
    if pending and not force:
        raise click.UsageError(
            f"{pending} bytes of {path.stem} are not stored: `runstream sync` uploads them, --force throws them away."
        )


def _spools(root: Path) -> Iterable[Found]:
    return [found for group in groups_in(root) for path in spools_in(group) if (found := look_at(path))]


def _journals(root: Path) -> list[Path]:
    return [journal for group in groups_in(root) for journal in journals_in(group)]


def _spool_document(found: Found) -> dict[str, Any]:
    return {
        "name": found.path.stem,
        "state": found.state,
        "run": found.header.run if found.header else None,
        "address": found.header.address if found.header else None,
        "size_bytes": found.size_bytes,
        "pending_bytes": found.pending_bytes,
        "path": str(found.path),
    }


def _journal_document(journal: Path) -> dict[str, Any]:
    size = journal.stat().st_size
    return {
        "name": journal.stem,
        "state": "journal",
        "run": None,
        "address": None,
        "size_bytes": size,
        "pending_bytes": max(size - done_bytes(journal), 0),
        "path": str(journal),
    }


def _verify_spool(found: Found) -> dict[str, Any]:
    try:
        count, damages, drops = verify(found.path)
    except SpoolDamaged as damaged:
        return _finding(found.path, 0, [{"offset": 0, "bytes": found.size_bytes, "message": str(damaged)}], 0)
    listed = [{"offset": each.start, "bytes": each.end - each.start, "message": "no records"} for each in damages]
    return _finding(found.path, count, listed, drops.value_count)


def _verify_journal(journal: Path) -> dict[str, Any]:
    end, count, damages = 0, 0, []
    try:
        for entry in read_entries(journal):
            end, count = entry.end, count + 1
    except JournalDamaged as damaged:
        damages.append({"offset": end, "bytes": journal.stat().st_size - end, "message": str(damaged)})
    return _finding(journal, count, damages, 0)


def _finding(path: Path, records: int, damages: list[dict[str, Any]], dropped: int) -> dict[str, Any]:
    return {
        "name": path.stem,
        "records": records,
        "damages": damages,
        "values_not_written": dropped,
        "path": str(path),
    }
