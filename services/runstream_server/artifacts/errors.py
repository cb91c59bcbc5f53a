"""What can go wrong with artifacts."""

from runstream_server.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound


class UploadNotFound(NotFound):
    """No such upload was begun, or it is too old."""

    reason = "UPLOAD_NOT_FOUND"

    def __init__(self, upload_id: str) -> None:
        super().__init__(
            f"no upload {upload_id[:80]!r} was begun within a day; begin it again", upload_id=upload_id[:80]
        )


class UploadIncomplete(FailedPrecondition):
    """Nothing arrived in the bucket."""

    reason = "UPLOAD_INCOMPLETE"

    def __init__(self, upload_id: str) -> None:
        super().__init__(f"nothing arrived for upload {upload_id}; PUT the bytes to its URL first", upload_id=upload_id)


class DigestMismatch(InvalidArgument):
    """Other bytes arrived than were announced."""

    reason = "DIGEST_MISMATCH"

    def __init__(self, announced: str, arrived: str) -> None:
        super().__init__(
            f"announced were {announced}, but {arrived} arrived and were removed; send them again",
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

    def __init__(self, path: str) -> None:
        super().__init__(
            f"the artifact {path} already exists with other content, a resource conflict; use another path", path=path
        )


class ArtifactNotFound(NotFound):
    """The run has no such artifact."""

    reason = "ARTIFACT_NOT_FOUND"

    def __init__(self, path: str) -> None:
        super().__init__(f"the run has no artifact {path}; ListArtifacts tells which there are", path=path)
