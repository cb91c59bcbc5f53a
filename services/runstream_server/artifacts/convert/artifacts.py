"""Messages about the files of runs."""

from collections.abc import Sequence

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.convert.blobs import decode_digest
from runstream_server.artifacts.model import URL_LIFETIME, Artifact, Binding, Download, Listed
from runstream_server.errors import InvalidField
from runstream_server.paths import check_new_path, check_path

_MAX_PATHS = 1_000
_MAX_PREFIX_BYTES = 1_024


def decode_bindings(bindings: Sequence[messages.ArtifactBinding]) -> Sequence[Binding]:
    """Takes bindings, whose paths are distinct."""
    if not 1 <= len(bindings) <= _MAX_PATHS:
        raise InvalidField("bindings", f"expected 1 to {_MAX_PATHS}; got {len(bindings)}")
    decoded = [
        Binding(
            check_new_path(each.path, f"bindings[{place}].path"),
            decode_digest(each.digest, f"bindings[{place}].digest"),
        )
        for place, each in enumerate(bindings)
    ]
    check_distinct([each.path for each in decoded], "bindings")
    return decoded


def check_distinct(paths: Sequence[str], field: str, below: str = ".path") -> None:
    """Raises InvalidField if a path comes more than once; each is in an element of a field, or `below` that."""
    seen: set[str] = set()
    for place, path in enumerate(paths):
        if path in seen:
            raise InvalidField(f"{field}[{place}]{below}", f"{path!r} comes more than once")
        seen.add(path)


def decode_paths(paths: Sequence[str]) -> Sequence[str]:
    """Takes the paths of GetDownloadUrls."""
    if not 1 <= len(paths) <= _MAX_PATHS:
        raise InvalidField("paths", f"expected 1 to {_MAX_PATHS}; got {len(paths)}")
    return [check_path(path, f"paths[{place}]") for place, path in enumerate(paths)]


def decode_distinct_paths(paths: Sequence[str]) -> Sequence[str]:
    """Takes the paths of BatchReadArtifacts."""
    decoded = decode_paths(paths)
    check_distinct(decoded, "paths", "")
    return decoded


def decode_prefix(prefix: str) -> str:
    """Takes the beginning of paths."""
    if len(prefix.encode()) > _MAX_PREFIX_BYTES or "\0" in prefix:
        raise InvalidField("prefix", f"expected up to {_MAX_PREFIX_BYTES} bytes without NUL")
    return prefix


def decode_delimiter(delimiter: str) -> bool:
    """Whether folders are to be listed."""
    if delimiter not in ("", "/"):
        raise InvalidField("delimiter", f"expected / or nothing; got {delimiter[:20]!r}")
    return bool(delimiter)


def decode_deletion(request: messages.DeleteArtifactsRequest) -> tuple[Sequence[str], str]:
    """Takes either the paths to delete or what they start with."""
    if bool(request.paths) == bool(request.prefix):
        raise InvalidField("paths", "either paths or a prefix is needed, and not both")
    return (decode_paths(request.paths), "") if request.paths else ((), decode_prefix(request.prefix))


def decode_range(request: messages.ReadArtifactRequest) -> tuple[int, int]:
    """Takes the first byte to read and how many at most; 0: all."""
    for field, value in (("offset_bytes", request.offset_bytes), ("limit_bytes", request.limit_bytes)):
        if value < 0:
            raise InvalidField(field, f"expected 0 or more; got {value}")
    return request.offset_bytes, request.limit_bytes


def encode_artifact(artifact: Artifact) -> messages.Artifact:
    """Makes the message of an artifact."""
    message = messages.Artifact(path=artifact.path, size_bytes=artifact.blob.size_bytes, digest=artifact.blob.digest)
    message.create_time.FromDatetime(artifact.create_time)
    return message


def encode_small(artifacts: Sequence[tuple[Artifact, bytes]]) -> messages.BatchReadArtifactsResponse:
    """Makes a message of BatchReadArtifacts."""
    return messages.BatchReadArtifactsResponse(
        artifacts=[messages.SmallArtifact(artifact=encode_artifact(each), data=data) for each, data in artifacts]
    )


def encode_listing(entries: Sequence[Listed], next_page_token: str) -> messages.ListArtifactsResponse:
    """Makes the answer of ListArtifacts."""
    return messages.ListArtifactsResponse(
        artifacts=[encode_artifact(each.artifact) for each in entries if each.artifact],
        folders=[each.path for each in entries if each.artifact is None],
        next_page_token=next_page_token,
    )


def encode_downloads(downloads: Sequence[Download]) -> messages.GetDownloadUrlsResponse:
    """Makes the answer of GetDownloadUrls."""
    response = messages.GetDownloadUrlsResponse(
        downloads=[
            messages.ArtifactDownload(
                artifact=encode_artifact(each.artifact), url=each.get.url, headers=dict(each.get.headers)
            )
            for each in downloads
        ]
    )
    response.url_lifetime.FromTimedelta(URL_LIFETIME)
    return response
