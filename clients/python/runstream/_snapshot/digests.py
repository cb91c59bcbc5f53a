"""SHA-256 of files, several at a time; those that have not changed since the last time are not read."""

import hashlib
import json
import os
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from runstream._channel.address import state_folder
from runstream._snapshot.tree import File, version_of
from runstream.exceptions import SnapshotException

FORMAT: Final = 1
SETTLED_NS: Final = 2_000_000_000
"""A file that was changed less than this before it was read may have changed again with the same time."""
MAX_FOLDERS: Final = 100
"""Folders whose files are remembered; the one that was used longest ago is forgotten."""
THREADS: Final = min(4, os.cpu_count() or 1)
SOME: Final = 64
"""Files that a thread takes at once."""
BLOCK_BYTES: Final = 1024 * 1024

Known = Mapping[str, tuple[list[int], str]]
"""Version and digest, by where the bytes are."""


def digest_all(root: Path, files: Sequence[File]) -> list[tuple[int, str]]:
    """Size and SHA-256 of each file, in their order.

    Raises:
        SnapshotException: One cannot be read.
    """
    memory = _memory(root)
    known = _recall(memory)
    found = {file.source: known[file.source][1] for file in files if _is_known(known, file)}
    unknown = list({file.source: file for file in files if file.source not in found}.values())
    fresh = {file.source: read for file, read in zip(unknown, _read_all(unknown), strict=True)}
    if fresh or len(known) != len(found):
        settled = {source: digest for source, (_, digest, is_settled) in fresh.items() if is_settled}
        _remember(memory, files, {**found, **settled})
    return [fresh[file.source][:2] if file.source in fresh else (file.size, found[file.source]) for file in files]


def _is_known(known: Known, file: File) -> bool:
    return file.source in known and known[file.source][0] == list(file.version)


def _read_all(files: Sequence[File]) -> list[tuple[int, str, bool]]:
    some = [files[start : start + SOME] for start in range(0, len(files), SOME)]
    if len(some) < 2:
        return _read_some(files)
    with ThreadPoolExecutor(THREADS, thread_name_prefix="runstream-digest") as pool:
        return [each for part in pool.map(_read_some, some) for each in part]


def _read_some(files: Sequence[File]) -> list[tuple[int, str, bool]]:
    return [_read(file) for file in files]


def _read(file: File) -> tuple[int, str, bool]:
    """Size and digest of a file, and whether they are sure to be those of the version that was seen."""
    begun = time.time_ns()
    digest, size = hashlib.sha256(), 0
    try:
        descriptor = os.open(file.source, os.O_RDONLY | os.O_CLOEXEC)
        try:
            while block := os.read(descriptor, BLOCK_BYTES):
                digest.update(block)
                size += len(block)
            version = version_of(os.fstat(descriptor))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise SnapshotException(f"{file.path} cannot be read: {error.strerror}.") from None
    is_settled = version == file.version and file.modified_ns + SETTLED_NS < begun
    return size, digest.hexdigest(), is_settled


def _memory(root: Path) -> Path:
    name = hashlib.sha256(os.fsencode(os.path.realpath(root))).hexdigest()[:32]
    return state_folder() / "snapshots" / f"{name}.json"


def _recall(memory: Path) -> Known:
    """What is remembered; nothing where that cannot be read."""
    with suppress(OSError, ValueError, TypeError, KeyError):
        document: Any = json.loads(memory.read_bytes())
        if document["format"] == FORMAT:
            return {source: (version, str(digest)) for source, version, digest in document["files"]}
    return {}


def _remember(memory: Path, files: Iterable[File], digests: Mapping[str, str]) -> None:
    """Remembers digests, where the disk lets it."""
    versions = {file.source: file.version for file in files if file.source in digests}
    entries = [[source, version, digests[source]] for source, version in versions.items()]
    partial = memory.with_suffix(f".{os.getpid()}")
    with suppress(OSError):
        memory.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        partial.write_text(json.dumps({"format": FORMAT, "files": entries}))
        partial.replace(memory)
        _forget(memory.parent)


def _forget(folder: Path) -> None:
    remembered = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
    for path in remembered[:-MAX_FOLDERS]:
        path.unlink(missing_ok=True)
