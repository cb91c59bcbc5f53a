"""Messages about snapshots."""

from collections.abc import Sequence

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.convert.artifacts import check_distinct
from runstream_server.artifacts.convert.blobs import decode_digest
from runstream_server.artifacts.model import MAX_BLOB_BYTES, Blob
from runstream_server.artifacts.snapshot_model import MAX_ENTRIES, Snapshot, SnapshotEntry
from runstream_server.errors import InvalidField
from runstream_server.paths import check_new_path


def decode_entries(entries: Sequence[messages.SnapshotEntry]) -> Sequence[SnapshotEntry]:
    """Takes entries whose paths are distinct and none of which is below a file."""
    if len(entries) > MAX_ENTRIES:
        raise InvalidField(
            "entries",
            f"expected up to {MAX_ENTRIES}; got {len(entries)}; exclude what is no source in .amlignore or .gitignore",
        )
    decoded = [_entry(each, f"entries[{place}]") for place, each in enumerate(entries)]
    check_distinct([each.path for each in decoded], "entries")
    _check_below(decoded)
    return decoded


def _entry(entry: messages.SnapshotEntry, field: str) -> SnapshotEntry:
    path = check_new_path(entry.path, f"{field}.path")
    if entry.folder:
        if entry.digest or entry.size_bytes or entry.executable:
            raise InvalidField(f"{field}.folder", "a folder has no digest and no size, and cannot be executed")
        return SnapshotEntry(path, None, executable=False)
    if not 0 <= entry.size_bytes <= MAX_BLOB_BYTES:
        raise InvalidField(f"{field}.size_bytes", f"expected 0 to {MAX_BLOB_BYTES}; got {entry.size_bytes}")
    digest = decode_digest(entry.digest, f"{field}.digest")
    return SnapshotEntry(path, Blob(digest, entry.size_bytes), entry.executable)


def _check_below(entries: Sequence[SnapshotEntry]) -> None:
    files = {entry.path for entry in entries if entry.blob}
    folders: set[str] = set()
    for place, entry in enumerate(entries):
        parent = entry.path
        while (parent := parent.rpartition("/")[0]) and parent not in folders:
            folders.add(parent)
            if parent in files:
                raise InvalidField(f"entries[{place}].path", f"{entry.path!r} is below {parent!r}, which is a file")


def encode_snapshot(snapshot: Snapshot) -> messages.Snapshot:
    """Makes the message of a snapshot."""
    message = messages.Snapshot(name=str(snapshot.name), file_count=snapshot.file_count, size_bytes=snapshot.size_bytes)
    message.create_time.FromDatetime(snapshot.create_time)
    return message


def encode_created(created: Snapshot | Sequence[str]) -> messages.CreateSnapshotResponse:
    """Makes the answer of CreateSnapshot."""
    if isinstance(created, Snapshot):
        return messages.CreateSnapshotResponse(snapshot=encode_snapshot(created))
    return messages.CreateSnapshotResponse(missing_digests=created)


def encode_entry(entry: SnapshotEntry) -> messages.SnapshotEntry:
    """Makes the message of an entry."""
    if entry.blob is None:
        return messages.SnapshotEntry(path=entry.path, folder=True)
    return messages.SnapshotEntry(
        path=entry.path, digest=entry.blob.digest, size_bytes=entry.blob.size_bytes, executable=entry.executable
    )
