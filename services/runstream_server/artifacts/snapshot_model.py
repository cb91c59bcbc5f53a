"""The words of snapshots."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from runstream_server.artifacts.model import Blob
from runstream_server.envelope import StoredBytesDamaged
from runstream_server.errors import FailedPrecondition
from runstream_server.names import SnapshotName

MAX_ENTRIES = 20_000
_TOLD_FILES = 5


@dataclass(frozen=True, slots=True)
class SnapshotEntry:
    """A file of a snapshot, or an empty folder."""

    path: str
    blob: Blob | None
    """None: it is a folder."""

    executable: bool


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A source folder as it was."""

    name: SnapshotName
    file_count: int
    size_bytes: int
    create_time: datetime


def snapshot_id(entries: Sequence[SnapshotEntry]) -> str:
    """SHA-256 of the manifest: a line of JSON for each entry, in order of path by code point.

    `["outputs"]` is a folder, `["train.py", "<digest>", false]` a file that cannot be executed. Digests imply sizes.
    """
    manifest = Manifest()
    for entry in sorted(entries, key=lambda each: each.path):
        manifest.add(entry)
    return manifest.digest


class Manifest:
    """Makes the id of a snapshot of its entries, which are added in order of path by code point."""

    def __init__(self) -> None:
        self._hash = hashlib.sha256()

    def add(self, entry: SnapshotEntry) -> None:
        """Adds the next entry."""
        parts = [entry.path] if entry.blob is None else [entry.path, entry.blob.digest, entry.executable]
        self._hash.update(json.dumps(parts, ensure_ascii=False).encode() + b"\n")

    @property
    def digest(self) -> str:
        """The id of a snapshot that has what was added and nothing else."""
        return self._hash.hexdigest()

    def check(self, name: SnapshotName) -> None:
        """Raises StoredBytesDamaged if what was added is not what the snapshot had."""
        if self.digest != name.snapshot:
            raise StoredBytesDamaged(f"the entries of {name} are not those it was made of")


@dataclass(frozen=True, slots=True)
class SnapshotLimits:
    """How much that the workspace does not have a snapshot may bring."""

    max_files: int
    max_bytes: int


class SnapshotTooLarge(FailedPrecondition):
    """A snapshot brings more than the server takes."""

    reason = "SNAPSHOT_TOO_LARGE"

    def __init__(self, missing: Sequence[SnapshotEntry], limits: SnapshotLimits) -> None:
        files = sorted(((each.blob.size_bytes, each.path) for each in missing if each.blob), reverse=True)
        size_bytes = sum(size for size, _ in files)
        largest = ", ".join(f"{path} ({size} bytes)" for size, path in files[:_TOLD_FILES])
        super().__init__(
            f"the snapshot has {len(files)} new files with {size_bytes} bytes, and the server takes {limits.max_files}"
            f" files with {limits.max_bytes} bytes; exclude what is no source in .amlignore or .gitignore. The largest:"
            f" {largest}",
            files=len(files),
            max_files=limits.max_files,
            size_bytes=size_bytes,
            max_size_bytes=limits.max_bytes,
            largest=largest,
        )
