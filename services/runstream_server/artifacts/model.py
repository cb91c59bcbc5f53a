"""The words of artifacts."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from runstream_server.objectstore import Presigned

MIB = 1 << 20
MAX_PUT_BYTES = 5 * 1024 * MIB
MAX_BLOB_BYTES = 1024 * 1024 * MIB
MAX_SMALL_BLOB_BYTES = MIB
BLOCK_BYTES = MIB // 4
"""How many bytes of a content share a checksum."""

UPLOAD_LIFETIME = timedelta(days=1)
URL_LIFETIME = timedelta(hours=1)

_PART_BYTES = 8 * MIB
_MAX_PARTS = 10_000


@dataclass(frozen=True, slots=True)
class Blob:
    """Immutable bytes, by their content."""

    digest: str
    """SHA-256 as 64 lower-case hexadecimal digits."""

    size_bytes: int


@dataclass(frozen=True, slots=True)
class Content:
    """Where the bytes of a blob are in the bucket, once for all workspaces."""

    blob: Blob
    object: str
    """The key of the object; the blob may share it with others."""

    start: int = 0
    """Where it begins in the object."""

    checksums: bytes | None = None
    """CRC-32 of each 256 KiB, the last ones fewer, as little-endian integers of 32 bits; None: not known yet."""

    @property
    def end(self) -> int:
        """The place in the object behind the last byte."""
        return self.start + self.blob.size_bytes

    @property
    def is_packed(self) -> bool:
        """Whether it shares its object with others."""
        return self.object.startswith("packs/")


@dataclass(frozen=True, slots=True)
class Parts:
    """How the bytes of a blob are cut."""

    size_bytes: int
    part_bytes: int

    @classmethod
    def cut(cls, size_bytes: int, *, multipart: bool) -> "Parts":
        """Chooses the size of parts: 8 MiB, more where that makes too many, or one part for all."""
        if not multipart:
            return cls(size_bytes, max(size_bytes, 1))
        least = -(-size_bytes // _MAX_PARTS)
        return cls(size_bytes, max(_PART_BYTES, -(-least // MIB) * MIB))

    @property
    def count(self) -> int:
        """How many there are."""
        return -(-self.size_bytes // self.part_bytes)

    def offset(self, number: int) -> int:
        """Where a part begins; numbers count from 1."""
        return (number - 1) * self.part_bytes

    def part_size(self, number: int) -> int:
        """How many bytes a part has."""
        return min(self.part_bytes, self.size_bytes - self.offset(number))


@dataclass(frozen=True, slots=True)
class Upload:
    """Permission to send the bytes of a blob, part by part. Nothing is seen of them before it is completed."""

    workspace: str
    upload_id: str
    digest: str | None
    """None: it is told at the end."""

    parts: Parts
    object: str
    """The key that the bytes get in the bucket; no other upload has it."""

    parts_id: str
    """What the bucket calls the parts."""

    begin_time: datetime
    completed: bool = False


@dataclass(frozen=True, slots=True)
class PartUpload:
    """Where a client sends a part."""

    number: int
    offset: int
    size_bytes: int
    put: Presigned


@dataclass(frozen=True, slots=True)
class BegunUpload:
    """Where a client sends the bytes of an upload."""

    upload: Upload
    only_part: Presigned | None
    """None: there are several parts."""


@dataclass(frozen=True, slots=True)
class UploadState:
    """How far an upload is."""

    upload: Upload
    missing: Sequence[int]
    """The numbers of the parts that have not arrived, ascending."""

    @property
    def committed_bytes(self) -> int:
        """Up to where all parts have arrived."""
        return self.upload.parts.offset(self.missing[0]) if self.missing else self.upload.parts.size_bytes


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
    get: Presigned


@dataclass(frozen=True, slots=True)
class Listed:
    """An entry of a listing: an artifact, or the path of a folder with `/` at its end."""

    path: str
    artifact: Artifact | None
