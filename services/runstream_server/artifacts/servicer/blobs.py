"""Methods about blobs and their uploads."""

from collections.abc import AsyncIterator

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceServicer
from runstream_server.artifacts.blobs import Blobs
from runstream_server.artifacts.convert.blobs import (
    decode_data,
    decode_digests,
    decode_optional_digest,
    decode_part_numbers,
    decode_small_blobs,
    decode_start,
    decode_upload,
    decode_upload_id,
    encode_begun,
    encode_part_uploads,
    encode_state,
)
from runstream_server.artifacts.servicer.transfers import Transfers
from runstream_server.errors import InvalidField
from runstream_server.names import WorkspaceName


class BlobMethods(ArtifactServiceServicer):
    """Methods about blobs and their uploads."""

    _blobs: Blobs
    _transfers: Transfers

    async def FindMissingBlobs(
        self, request: messages.FindMissingBlobsRequest, _: object
    ) -> messages.FindMissingBlobsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        missing = await self._blobs.missing(workspace, decode_digests(request.digests))
        return messages.FindMissingBlobsResponse(missing_digests=missing)

    async def BatchUploadBlobs(
        self, request: messages.BatchUploadBlobsRequest, _: object
    ) -> messages.BatchUploadBlobsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        digests = await self._blobs.store(workspace, *decode_small_blobs(request.blobs))
        return messages.BatchUploadBlobsResponse(digests=digests)

    async def BeginUpload(self, request: messages.BeginUploadRequest, _: object) -> messages.BeginUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        return encode_begun(await self._blobs.begin_upload(workspace, *decode_upload(request)))

    async def GetUploadUrls(self, request: messages.GetUploadUrlsRequest, _: object) -> messages.GetUploadUrlsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        upload_id, numbers = decode_upload_id(request.upload_id), decode_part_numbers(request.part_numbers)
        return encode_part_uploads(await self._blobs.upload_urls(workspace, upload_id, numbers))

    async def QueryUpload(self, request: messages.QueryUploadRequest, _: object) -> messages.QueryUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        return encode_state(await self._blobs.upload_state(workspace, decode_upload_id(request.upload_id)))

    async def UploadBlob(
        self, requests: AsyncIterator[messages.UploadBlobRequest], _: object
    ) -> messages.UploadBlobResponse:
        start = await decode_start(requests)
        workspace = WorkspaceName.parse(start.parent, "start.parent")
        upload_id = decode_upload_id(start.upload_id, "start.upload_id")
        if start.offset_bytes < 0:
            raise InvalidField("start.offset_bytes", f"expected 0 or more; got {start.offset_bytes}")
        with self._transfers.writing():
            committed = await self._blobs.relay(workspace, upload_id, start.offset_bytes, decode_data(requests))
        return messages.UploadBlobResponse(committed_size_bytes=committed)

    async def CompleteUpload(
        self, request: messages.CompleteUploadRequest, _: object
    ) -> messages.CompleteUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        upload_id, digest = decode_upload_id(request.upload_id), decode_optional_digest(request.digest)
        await self._blobs.complete_upload(workspace, upload_id, digest)
        return messages.CompleteUploadResponse()

    async def AbortUpload(self, request: messages.AbortUploadRequest, _: object) -> messages.AbortUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        await self._blobs.abort_upload(workspace, decode_upload_id(request.upload_id))
        return messages.AbortUploadResponse()
