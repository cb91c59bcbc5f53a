"""Between messages and the words of artifacts."""

import re
from collections.abc import Sequence

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.model import (
    MAX_BLOB_BYTES,
    URL_LIFETIME,
    Artifact,
    BegunUpload,
    Binding,
    Blob,
    Download,
)
from runstream_server.errors import InvalidField
from runstream_server.paths import check_path

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_DIGESTS = 10_000
_MAX_PATHS = 1_000
_MAX_PREFIX_BYTES = 1_024
_MAX_UPLOAD_ID = 100


def decode_digests(digests: Sequence[str]) -> Sequence[str]:
    """Takes the digests of FindMissingBlobs."""
    if not 1 <= len(digests) <= _MAX_DIGESTS:
        raise InvalidField("digests", f"expected 1 to {_MAX_DIGESTS}; got {len(digests)}")
    return [_decode_digest(digest, f"digests[{place}]") for place, digest in enumerate(digests)]


def _decode_digest(digest: str, field: str) -> str:
    if not _DIGEST.fullmatch(digest):
        raise InvalidField(field, f"a SHA-256 is 64 lower-case hexadecimal digits; got {digest[:80]!r}")
    return digest


def decode_blob(request: messages.BeginUploadRequest) -> Blob:
    """Takes what is to be uploaded."""
    if not 0 <= request.size_bytes <= MAX_BLOB_BYTES:
        raise InvalidField("size_bytes", f"expected 0 to {MAX_BLOB_BYTES}; got {request.size_bytes}")
    return Blob(_decode_digest(request.digest, "digest"), request.size_bytes)


def decode_upload_id(upload_id: str) -> str:
    """Takes an id as BeginUpload returned it, or something that is none."""
    if not 1 <= len(upload_id) <= _MAX_UPLOAD_ID or not upload_id.isalnum():
        raise InvalidField("upload_id", "expected the upload_id that BeginUpload returned")
    return upload_id


def decode_bindings(bindings: Sequence[messages.ArtifactBinding]) -> Sequence[Binding]:
    """Takes bindings, whose paths are distinct."""
    if not 1 <= len(bindings) <= _MAX_PATHS:
        raise InvalidField("bindings", f"expected 1 to {_MAX_PATHS}; got {len(bindings)}")
    decoded = [
        Binding(
            check_path(each.path, f"bindings[{place}].path"),
            _decode_digest(each.digest, f"bindings[{place}].digest"),
        )
        for place, each in enumerate(bindings)
    ]
    seen: set[str] = set()
    for place, each in enumerate(decoded):
        if each.path in seen:
            raise InvalidField(f"bindings[{place}].path", f"{each.path!r} comes more than once")
        seen.add(each.path)
    return decoded


def decode_paths(paths: Sequence[str]) -> Sequence[str]:
    """Takes the paths of GetDownloadUrls."""
    if not 1 <= len(paths) <= _MAX_PATHS:
        raise InvalidField("paths", f"expected 1 to {_MAX_PATHS}; got {len(paths)}")
    return [check_path(path, f"paths[{place}]") for place, path in enumerate(paths)]


def decode_prefix(prefix: str) -> str:
    """Takes the beginning of paths."""
    if len(prefix.encode()) > _MAX_PREFIX_BYTES or "\0" in prefix:
        raise InvalidField("prefix", f"expected up to {_MAX_PREFIX_BYTES} bytes without NUL")
    return prefix


def encode_artifact(artifact: Artifact) -> messages.Artifact:
    """Makes the message of an artifact."""
    message = messages.Artifact(path=artifact.path, size_bytes=artifact.blob.size_bytes, digest=artifact.blob.digest)
    message.create_time.FromDatetime(artifact.create_time)
    return message


def encode_begun(begun: BegunUpload | None) -> messages.BeginUploadResponse:
    """Makes the answer of BeginUpload."""
    if begun is None:
        return messages.BeginUploadResponse(exists=True)
    response = messages.BeginUploadResponse(
        upload_id=begun.upload_id, url=begun.put.url, headers=dict(begun.put.headers)
    )
    response.url_lifetime.FromTimedelta(URL_LIFETIME)
    return response


def encode_downloads(downloads: Sequence[Download]) -> messages.GetDownloadUrlsResponse:
    """Makes the answer of GetDownloadUrls."""
    response = messages.GetDownloadUrlsResponse(
        downloads=[
            messages.ArtifactDownload(artifact=encode_artifact(each.artifact), url=each.url) for each in downloads
        ]
    )
    response.url_lifetime.FromTimedelta(URL_LIFETIME)
    return response
