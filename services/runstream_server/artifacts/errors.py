"""What can go wrong with artifacts and snapshots."""

from runstream_server.errors import (
    AlreadyExists,
    DataLoss,
    DeadlineExceeded,
    FailedPrecondition,
    InvalidArgument,
    NotFound,
)


class UploadNotFound(NotFound):
    """No such upload was begun, it was given up, or it is too old."""

    reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"no upload {upload_id[:80]!r} was begun within a day; begin it again", upload_id=upload_id[:80]
        )


class UploadCompleted(FailedPrecondition):
    """All bytes are there already."""

    reason = "UPLOAD_COMPLETED"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"upload {upload_id} is completed; there is nothing to send any more", upload_id=upload_id)


class UploadIncomplete(FailedPrecondition):
    """Parts are missing."""

    reason = "UPLOAD_INCOMPLETE"

    def __init__(self, upload_id: str, part: int) -> None:
        super().__init__(
            f"part {part} of upload {upload_id} has not arrived, or not all of it; PUT it to its URL first",
            upload_id=upload_id,
            part=part,
        )


class OffsetMismatch(FailedPrecondition):
    """A stream does not go on where the upload is."""

    reason = "OFFSET_MISMATCH"

    def __init__(self, sent: int, expected: int) -> None:
        super().__init__(
            f"the stream starts at byte {sent}, but bytes are stored up to {expected}; send from there on",
            offset=sent,
            expected=expected,
        )


class PartTooSlow(DeadlineExceeded):
    """A part took longer to arrive than a stream may hold a place for it."""

    reason = "PART_TOO_SLOW"

    def __init__(self, size_bytes: int, seconds: float) -> None:
        super().__init__(
            f"a part of {size_bytes} bytes did not arrive within {seconds:g} seconds, or nothing came for one minute;"
            " parts that did arrive are kept, so go on from where the upload is. If it stays so slow, send the bytes to"
            " the bucket instead, where a part may take an hour, send fewer files at once, or use a faster connection",
            size_bytes=size_bytes,
            seconds=seconds,
        )


class DigestMismatch(InvalidArgument):
    """Other bytes arrived than were announced."""

    reason = "DIGEST_MISMATCH"

    def __init__(self, announced: str, arrived: str) -> None:
        super().__init__(
            f"announced were bytes with SHA-256 {announced}, but those that arrived have {arrived} and were removed;"
            " send them again",
            announced=announced,
            arrived=arrived,
        )


class BlobMissing(FailedPrecondition):
    """The workspace does not have a blob."""

    reason = "BLOB_MISSING"

    def __init__(self, digest: str, path: str) -> None:
        super().__init__(f"the workspace has no blob {digest} for {path}; upload it first", digest=digest, path=path)


class ArtifactExists(AlreadyExists):
    """A path is bound to another blob."""

    reason = "ARTIFACT_EXISTS"

    def __init__(self, path: str, digest: str, refused: str) -> None:
        super().__init__(
            f"the artifact {path} already exists with other content, a resource conflict: it has SHA-256 {digest}, not"
            f" {refused}; use another path, or delete it first",
            path=path,
            digest=digest,
            refused=refused,
        )


class ArtifactNotFound(NotFound):
    """The run has no such artifact."""

    reason = "ARTIFACT_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(f"the run has no artifact {path}; ListArtifacts tells which there are", path=path)


class ArtifactDamaged(DataLoss):
    """The bytes of an artifact are not what was stored, or are not there any more."""

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the stored bytes of the artifact {path} are damaged or missing; upload the same file again, or restore"
            " the bucket from a backup",
            path=path,
        )
