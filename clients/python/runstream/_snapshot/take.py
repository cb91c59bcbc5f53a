"""Makes snapshots of source folders."""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from runstream._channel import Connection
from runstream._channel.threads import in_thread
from runstream._snapshot.digests import digest_all
from runstream._snapshot.tree import Tree, walk
from runstream._transfer import missing_of, send
from runstream._transfer.contents import Content
from runstream._transfer.places import problem_of_new
from runstream._transfer.progress import Meter, Silent
from runstream.api.artifacts.v1.artifact_service_pb2 import CreateSnapshotRequest, SnapshotEntry
from runstream.exceptions import AzureMLException, ServiceException, SnapshotException, UserErrorException

NO_LIMIT_VARIABLE: Final = "AML_SNAPSHOT_NO_FILE_LIMIT"
MAX_ENTRIES: Final = 20_000
MAX_REQUEST_BYTES: Final = 4 * 1024 * 1024
MAX_FILES: Final = 2_000
MAX_SIZE_BYTES: Final = 300 * 1024 * 1024
"""As the contract says; the last two may be set otherwise."""
LIMIT_NAMES: Final = ("files", "size_bytes", "max_files", "max_size_bytes")
CREATE_SECONDS: Final = 60.0
SHOWN: Final = 5
"""Of what makes a snapshot too large, or is left out."""
REMEDY: Final = (
    "List what is not needed in an .amlignore file in the root of the folder, or take no snapshot "
    "(snapshot_directory=None)."
)

_logger = logging.getLogger("runstream")


class Survey(NamedTuple):
    """What belongs to a snapshot, and where its bytes are."""

    source: Path
    entries: list[SnapshotEntry]
    contents: dict[str, Content]
    """By digest."""


async def take_snapshot(connection: Connection, workspace: str, source: Path) -> str:
    """Stores a folder, or a file, as it is now; the id of the snapshot.

    Files that the workspace has are not sent. The same content gives the same id.

    Raises:
        SnapshotException: It is too large, cannot be read, or has something that cannot be stored.
        ServiceException: The services are away.
    """
    return await make_snapshot(connection, workspace, await in_thread(survey, source))


def survey(source: Path) -> Survey:
    """Finds out what belongs to the snapshot of a folder, or of a file.

    Raises:
        SnapshotException: Something cannot be read or stored, or there is more than any service takes.
    """
    tree = walk(source)
    digests = digest_all(source, tree.files)
    found = Survey(source, _entries(tree, digests), _contents(tree, digests))
    _check(found)
    _tell_skipped(source, tree.skipped)
    return found


async def make_snapshot(connection: Connection, workspace: str, found: Survey, meter: Meter | None = None) -> str:
    """Stores what was found; the id of the snapshot. `meter` is told how much of it is sent.

    Raises:
        SnapshotException: It is too large, or was changed meanwhile.
        ServiceException: The services are away.
    """
    try:
        return await _Making(connection, workspace, found, meter or Silent()).run()
    except (UserErrorException, ServiceException) as error:
        if _is_away(error):
            raise
        raise SnapshotException(f"No snapshot of {found.source} was taken: {error.message} {REMEDY}", error) from error


def check_default_limits(found: Survey) -> None:
    """Sees that a snapshot is within the limits that services have unless they are set otherwise.

    Raises:
        SnapshotException: It is not.
    """
    size, count = sum(content.size for content in found.contents.values()), len(found.contents)
    if size > MAX_SIZE_BYTES or (count > MAX_FILES and not os.environ.get(NO_LIMIT_VARIABLE)):
        raise SnapshotException(_too_large(found, (count, size), (MAX_FILES, MAX_SIZE_BYTES)))


class _Making:
    def __init__(self, connection: Connection, workspace: str, found: Survey, meter: Meter) -> None:
        self._connection = connection
        self._meter = meter
        self._request = CreateSnapshotRequest(parent=workspace, entries=found.entries)
        self._found = found

    async def run(self) -> str:
        missing = await self._create()
        if not isinstance(missing, str):
            contents = [self._found.contents[digest] for digest in missing]
            await send(self._connection, self._request.parent, contents, meter=self._meter)
            missing = await self._create()
        if not isinstance(missing, str):
            raise ServiceException("Files that were sent are not there.", reason="BLOB_MISSING")
        return missing

    async def _create(self) -> str | Sequence[str]:
        """The id of the snapshot, or the digests of what is missing."""
        try:
            response = await self._connection.call(
                self._connection.artifacts.CreateSnapshot, self._request, timeout=CREATE_SECONDS
            )
        except UserErrorException as error:
            if error.reason != "SNAPSHOT_TOO_LARGE":
                raise
            count, size, max_count, max_size = (int(error.metadata[name]) for name in LIMIT_NAMES)
            if size <= max_size and os.environ.get(NO_LIMIT_VARIABLE):
                return await missing_of(self._connection, self._request.parent, list(self._found.contents))
            message = _too_large(self._found, (count, size), (max_count, max_size))
            raise SnapshotException(message, error, reason=error.reason, metadata=error.metadata) from None
        return response.snapshot.name.rpartition("/")[2] or list(response.missing_digests)


def _entries(tree: Tree, digests: Sequence[tuple[int, str]]) -> list[SnapshotEntry]:
    files = [
        SnapshotEntry(path=file.path, digest=digest, size_bytes=size, executable=file.is_executable)
        for file, (size, digest) in zip(tree.files, digests, strict=True)
    ]
    return files + [SnapshotEntry(path=path, folder=True) for path in tree.empty_folders]


def _contents(tree: Tree, digests: Sequence[tuple[int, str]]) -> dict[str, Content]:
    pairs = zip(tree.files, digests, strict=True)
    return {digest: Content(Path(file.source), digest, size) for file, (size, digest) in pairs}


def _check(found: Survey) -> None:
    for entry in found.entries:
        if problem := problem_of_new(entry.path):
            raise SnapshotException(f"The name {entry.path!r} cannot be stored: {problem}; rename it. {REMEDY}")
    count, size = len(found.entries), CreateSnapshotRequest(entries=found.entries).ByteSize()
    if count > MAX_ENTRIES or size > MAX_REQUEST_BYTES:
        raise SnapshotException(
            f"The snapshot of {found.source} has {count:,} files; the limit is {MAX_ENTRIES:,}, or fewer with long "
            f"names. Most of them are in {_crowded(found.entries)}. {REMEDY}"
        )


def _too_large(found: Survey, changed: tuple[int, int], limits: tuple[int, int]) -> str:
    largest = sorted(found.entries, key=lambda entry: -entry.size_bytes)[:SHOWN]
    names = ", ".join(f"{entry.path} ({_megabytes(entry.size_bytes)})" for entry in largest)
    return (
        f"The snapshot of {found.source} has {changed[0]:,} changed files of {_megabytes(changed[1])} together; the "
        f"limits are {limits[0]:,} files and {_megabytes(limits[1])}. The largest files are {names}. {REMEDY}"
    )


def _crowded(entries: Iterable[SnapshotEntry]) -> str:
    """The folders in the root with the most files."""
    counts = Counter(entry.path.partition("/")[0] if "/" in entry.path else "the root" for entry in entries)
    return ", ".join(f"{folder} ({count:,})" for folder, count in counts.most_common(SHOWN))


def _tell_skipped(source: Path, skipped: Sequence[str]) -> None:
    if skipped:
        more = f", and {len(skipped) - SHOWN:,} more" if len(skipped) > SHOWN else ""
        _logger.warning("Left out of the snapshot of %s: %s%s.", source, "; ".join(skipped[:SHOWN]), more)


def _is_away(error: AzureMLException) -> bool:
    """Whether it is the services that failed, and not the snapshot."""
    return isinstance(error, ServiceException) and error.reason not in ("TRANSFER_FAILED", "BLOB_MISSING")


def _megabytes(size: int) -> str:
    return f"{size / 1024 / 1024:,.1f} MiB"
