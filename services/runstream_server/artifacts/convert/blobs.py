"""Messages about blobs and their uploads."""

import re
from collections.abc import AsyncIterator, Sequence

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.artifacts.model import (
    MAX_BLOB_BYTES,
    MAX_PUT_BYTES,
    MAX_SMALL_BLOB_BYTES,
    MIB,
    UPLOAD_LIFETIME,
    URL_LIFETIME,
    BegunUpload,
    Parts,
    PartUpload,
    UploadState,
)
from runstream_server.errors import InvalidField, ProtocolError

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MAX_DIGESTS = 10_000
_MAX_SMALL_BLOBS = 1_000
_MAX_PART_NUMBERS = 1_000
_MAX_UPLOAD_ID = 100
_MAX_DATA_BYTES = MIB


def decode_digest(digest: str, field: str) -> str:
    """Takes a digest."""
    if not _DIGEST.fullmatch(digest):
        raise InvalidField(field, f"a SHA-256 is 64 lower-case hexadecimal digits; got {digest[:80]!r}")
    return digest


def decode_optional_digest(digest: str) -> str | None:
    """Takes a digest, or nothing."""
    return decode_digest(digest, "digest") if digest else None


def decode_digests(digests: Sequence[str]) -> Sequence[str]:
    """Takes the digests of FindMissingBlobs."""
    if not 1 <= len(digests) <= _MAX_DIGESTS:
        raise InvalidField("digests", f"expected 1 to {_MAX_DIGESTS}; got {len(digests)}")
    return [decode_digest(digest, f"digests[{place}]") for place, digest in enumerate(digests)]


def decode_small_blobs(blobs: Sequence[messages.SmallBlob]) -> tuple[Sequence[bytes], Sequence[str]]:
    """Takes the bytes of blobs, and the digests they are said to have, some of them empty."""
    if not 1 <= len(blobs) <= _MAX_SMALL_BLOBS:
        raise InvalidField("blobs", f"expected 1 to {_MAX_SMALL_BLOBS}; got {len(blobs)}")
    for place, blob in enumerate(blobs):
        if len(blob.data) > MAX_SMALL_BLOB_BYTES:
            raise InvalidField(f"blobs[{place}].data", f"expected up to {MAX_SMALL_BLOB_BYTES} bytes")
        if blob.digest:
            decode_digest(blob.digest, f"blobs[{place}].digest")
    return [blob.data for blob in blobs], [blob.digest for blob in blobs]


def decode_upload(request: messages.BeginUploadRequest) -> tuple[str | None, Parts]:
    """Takes what is to be uploaded, and cuts it."""
    most = MAX_BLOB_BYTES if request.multipart else MAX_PUT_BYTES
    if not 0 <= request.size_bytes <= most:
        raise InvalidField("size_bytes", f"expected 0 to {most}; got {request.size_bytes}")
    digest = decode_optional_digest(request.digest) if request.multipart else decode_digest(request.digest, "digest")
    return digest, Parts.cut(request.size_bytes, multipart=request.multipart)


def decode_upload_id(upload_id: str, field: str = "upload_id") -> str:
    """Takes an id as BeginUpload returned it, or something that is none."""
    if not 1 <= len(upload_id) <= _MAX_UPLOAD_ID or not upload_id.isalnum():
        raise InvalidField(field, "expected the upload_id that BeginUpload returned")
    return upload_id


def decode_part_numbers(numbers: Sequence[int]) -> Sequence[int]:
    """Takes numbers of parts."""
    if not 1 <= len(numbers) <= _MAX_PART_NUMBERS:
        raise InvalidField("part_numbers", f"expected 1 to {_MAX_PART_NUMBERS}; got {len(numbers)}")
    return list(numbers)


async def decode_start(requests: AsyncIterator[messages.UploadBlobRequest]) -> messages.UploadBlobStart:
    """Takes the first message of UploadBlob."""
    async for request in requests:
        if request.WhichOneof("message") == "start":
            return request.start
        break
    raise ProtocolError("the first message of UploadBlob is start")


async def decode_data(requests: AsyncIterator[messages.UploadBlobRequest]) -> AsyncIterator[bytes]:
    """Yields the bytes of the messages that follow."""
    async for request in requests:
        if request.WhichOneof("message") != "data":
            raise ProtocolError("after start all messages of UploadBlob are data")
        if len(request.data) > _MAX_DATA_BYTES:
            raise InvalidField("data", f"expected up to {_MAX_DATA_BYTES} bytes; got {len(request.data)}")
        yield request.data


def encode_begun(begun: BegunUpload | None) -> messages.BeginUploadResponse:
    """Makes the answer of BeginUpload."""
    if begun is None:
        return messages.BeginUploadResponse(exists=True)
    parts = begun.upload.parts
    response = messages.BeginUploadResponse(
        upload_id=begun.upload.upload_id, part_size_bytes=parts.part_bytes, part_count=parts.count
    )
    if begun.only_part is not None:
        response.url = begun.only_part.url
        response.headers.update(begun.only_part.headers)
        response.url_lifetime.FromTimedelta(URL_LIFETIME)
    return response


def encode_part_uploads(parts: Sequence[PartUpload]) -> messages.GetUploadUrlsResponse:
    """Makes the answer of GetUploadUrls."""
    response = messages.GetUploadUrlsResponse(
        parts=[
            messages.PartUpload(
                part_number=each.number,
                url=each.put.url,
                headers=dict(each.put.headers),
                offset_bytes=each.offset,
                size_bytes=each.size_bytes,
            )
            for each in parts
        ]
    )
    response.url_lifetime.FromTimedelta(URL_LIFETIME)
    return response


def encode_state(state: UploadState) -> messages.QueryUploadResponse:
    """Makes the answer of QueryUpload."""
    upload = state.upload
    response = messages.QueryUploadResponse(
        completed=upload.completed,
        size_bytes=upload.parts.size_bytes,
        part_size_bytes=upload.parts.part_bytes,
        part_count=upload.parts.count,
        missing_part_numbers=state.missing,
        committed_size_bytes=state.committed_bytes,
    )
    response.expire_time.FromDatetime(upload.begin_time + UPLOAD_LIFETIME)
    return response
