"""The words of artifacts."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.objectstore import PresignedPut

MAX_BLOB_BYTES = 5 * 1024**3
UPLOAD_LIFETIME = timedelta(days=1)
URL_LIFETIME = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class Blob:
    """Immutable bytes, by their content."""

    digest: str
    """SHA-256 as 64 lower-case hexadecimal digits."""

    size_bytes: int

    @property
    def key(self) -> str:
        """Where the bytes are in the bucket, once for all workspaces."""
        return f"blobs/sha256/{self.digest[:2]}/{self.digest}"


@dataclass(frozen=True, slots=True)
class Upload:
    """Permission to send the bytes of a blob."""

    workspace: str
    upload_id: str
    blob: Blob
    completed: bool

    @property
    def folder(self) -> str:
        """Below which everything of this upload is in the bucket."""
        return f"uploads/{self.upload_id}/"

    @property
    def arrival_key(self) -> str:
        """Where the client puts the bytes. It may do so at any time: nothing but a copy is ever trusted."""
        return f"{self.folder}arrived"


@dataclass(frozen=True, slots=True)
class BegunUpload:
    """Where a client sends the bytes of an upload."""

    upload_id: str
    put: PresignedPut


@dataclass(frozen=True, slots=True)
class Binding:
    """A path and the content it is to have."""

    path: str
    digest: str


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file of a run."""

    path: str
    blob: Blob
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Download:
    """Where to read an artifact."""

    artifact: Artifact
    url: str
