"""What lies in the folders of spools on this machine."""

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runstream._spool.artifacts import kept_bytes
from runstream._spool.format import FINISH, HEADER_BYTES, Drops, Header, SpoolDamaged
from runstream._spool.lock import is_live
from runstream._spool.outputs import OUTPUT_SUFFIX
from runstream._spool.places import events_of, files_of, progress_of, spools_in
from runstream._spool.progress import Progress, read_progress
from runstream._spool.reader import Damage, SpoolReader, read_header
from runstream._spool.records import Record


@dataclass(frozen=True)
class Found:
    """A spool."""

    path: Path
    header: Header | None
    """None: it cannot be read."""
    size_bytes: int
    """How much room it takes, with the files of the artifacts that are not stored."""
    pending_bytes: int
    """How much of that is not stored."""
    is_live: bool
    """Whether somebody writes it."""
    is_stopped: bool
    """Whether the services wanted no more of it."""

    @property
    def state(self) -> str:
        """`damaged`, `stopped`, `live` or `left`."""
        if self.header is None:
            return "damaged"
        return "stopped" if self.is_stopped else "live" if self.is_live else "left"


class Finding(NamedTuple):
    """What is in a spool."""

    record_count: int
    damages: list[Damage]
    drops: Drops


def groups_in(folder: Path) -> list[Path]:
    """The folders with spools or journals at or below a folder, in ascending order of name."""
    if not folder.is_dir():
        return []
    return [each for each in (folder, *sorted(filter(Path.is_dir, folder.iterdir()))) if _has_any(each)]


def look_at(spool: Path) -> Found | None:
    """What is known of a spool without reading all of it; None when it was just removed."""
    try:
        size = spool.stat().st_size
    except FileNotFoundError:
        return None
    progress = read_progress(progress_of(spool)) or Progress()
    try:
        header = read_header(spool)
    except (OSError, SpoolDamaged):
        header = None
    pending = max(size - max(progress.offset, HEADER_BYTES), 0)
    kept = kept_bytes(spool)
    return Found(spool, header, size + kept, pending + kept, is_live(spool), progress.stopped)


def verify(spool: Path) -> Finding:
    """Reads a whole spool. A last record that is being written is no damage.

    Raises:
        OSError: It cannot be read.
        SpoolDamaged: Its header cannot be read.
    """
    is_final = not is_live(spool)
    reader = SpoolReader(spool)
    count = 0
    damages: list[Damage] = []
    try:
        while found := reader.read(final=is_final):
            damages.extend(item for item in found if isinstance(item, Damage))
            records = [item for item in found if isinstance(item, Record)]
            count += len(records)
            if any(record.type == FINISH for record in records):
                break
        return Finding(count, damages, reader.drops())
    finally:
        reader.close()


def remove(spool: Path) -> None:
    """Removes a spool and all that belongs to it, whatever was not carried up."""
    import shutil

    output = _output_of(spool)
    spool.unlink(missing_ok=True)
    if output is not None and not any(_output_of(other) == output for other in spools_in(spool.parent)):
        shutil.rmtree(output, ignore_errors=True)
    shutil.rmtree(files_of(spool), ignore_errors=True)
    for path in (progress_of(spool), events_of(spool)):
        path.unlink(missing_ok=True)


def _output_of(spool: Path) -> Path | None:
    """The folder of what the process of a spool printed; None: nobody can tell."""
    try:
        header = read_header(spool)
    except (OSError, SpoolDamaged):
        return None
    return spool.with_name(f"{header.first or header.writer}{OUTPUT_SUFFIX}")


def _has_any(folder: Path) -> bool:
    return bool(spools_in(folder)) or any(folder.glob("*.journal"))
