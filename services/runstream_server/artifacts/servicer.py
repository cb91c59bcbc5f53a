"""`ArtifactService` on the wire: decode, delegate, encode."""

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceServicer
from runstream_server.artifacts.convert import (
    decode_bindings,
    decode_blob,
    decode_digests,
    decode_paths,
    decode_prefix,
    decode_upload_id,
    encode_artifact,
    encode_begun,
    encode_downloads,
)
from runstream_server.artifacts.rules import Artifacts
from runstream_server.names import RunName, WorkspaceName
from runstream_server.paging import page_size, page_token, read_page_token


class ArtifactServicer(ArtifactServiceServicer):
    """`ArtifactService` on the wire."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts

    async def FindMissingBlobs(
        self, request: messages.FindMissingBlobsRequest, _: object
    ) -> messages.FindMissingBlobsResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        missing = await self._artifacts.missing(workspace, decode_digests(request.digests))
        return messages.FindMissingBlobsResponse(missing_digests=missing)

    async def BeginUpload(self, request: messages.BeginUploadRequest, _: object) -> messages.BeginUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        return encode_begun(await self._artifacts.begin_upload(workspace, decode_blob(request)))

    async def CompleteUpload(
        self, request: messages.CompleteUploadRequest, _: object
    ) -> messages.CompleteUploadResponse:
        workspace = WorkspaceName.parse(request.parent, "parent")
        await self._artifacts.complete_upload(workspace, decode_upload_id(request.upload_id))
        return messages.CompleteUploadResponse()

    async def BindArtifacts(self, request: messages.BindArtifactsRequest, _: object) -> messages.BindArtifactsResponse:
        run = RunName.parse(request.run, "run")
        artifacts = await self._artifacts.bind(run, decode_bindings(request.bindings))
        return messages.BindArtifactsResponse(artifacts=[encode_artifact(each) for each in artifacts])

    async def ListArtifacts(self, request: messages.ListArtifactsRequest, _: object) -> messages.ListArtifactsResponse:
        run, prefix = RunName.parse(request.parent, "parent"), decode_prefix(request.prefix)
        size = page_size(request.page_size, 1_000, 10_000)
        listing = ("ListArtifacts", str(run), prefix)
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        artifacts = await self._artifacts.list_artifacts(run, prefix, after, size + 1)
        return messages.ListArtifactsResponse(
            artifacts=[encode_artifact(each) for each in artifacts[:size]],
            next_page_token=page_token(listing, [artifacts[size - 1].path]) if len(artifacts) > size else "",
        )

    async def GetDownloadUrls(
        self, request: messages.GetDownloadUrlsRequest, _: object
    ) -> messages.GetDownloadUrlsResponse:
        run = RunName.parse(request.run, "run")
        return encode_downloads(await self._artifacts.downloads(run, decode_paths(request.paths)))
