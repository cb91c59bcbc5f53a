"""Methods about the files of runs."""

from contextlib import aclosing
from typing import Any

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream.api.artifacts.v1.artifact_service_pb2_grpc import ArtifactServiceServicer
from runstream_server.artifacts.batches import Batches
from runstream_server.artifacts.convert.artifacts import (
    decode_bindings,
    decode_deletion,
    decode_delimiter,
    decode_distinct_paths,
    decode_paths,
    decode_prefix,
    decode_range,
    encode_artifact,
    encode_downloads,
    encode_listing,
    encode_small,
)
from runstream_server.artifacts.rules import Artifacts
from runstream_server.artifacts.servicer.transfers import Transfers, send
from runstream_server.names import RunName
from runstream_server.paging import page_size, page_token, read_page_token
from runstream_server.paths import check_path


class ArtifactMethods(ArtifactServiceServicer):
    """Methods about the files of runs."""

    _artifacts: Artifacts
    _batches: Batches
    _transfers: Transfers

    async def BindArtifacts(self, request: messages.BindArtifactsRequest, _: object) -> messages.BindArtifactsResponse:
        run = RunName.parse(request.run, "run")
        artifacts = await self._artifacts.bind(run, decode_bindings(request.bindings))
        return messages.BindArtifactsResponse(artifacts=[encode_artifact(each) for each in artifacts])

    async def ListArtifacts(self, request: messages.ListArtifactsRequest, _: object) -> messages.ListArtifactsResponse:
        run, prefix = RunName.parse(request.parent, "parent"), decode_prefix(request.prefix)
        is_folder = decode_delimiter(request.delimiter)
        size = page_size(request.page_size, 1_000, 10_000)
        listing = ("ListArtifacts", str(run), prefix, *(["/"] if is_folder else []))
        (after,) = read_page_token(request.page_token, listing, 1) or ("",)
        list_entries = self._artifacts.list_folder if is_folder else self._artifacts.list_artifacts
        found = await list_entries(run, prefix, after, size + 1)
        token = page_token(listing, [found[size - 1].path]) if len(found) > size else ""
        return encode_listing(found[:size], token)

    async def GetDownloadUrls(
        self, request: messages.GetDownloadUrlsRequest, _: object
    ) -> messages.GetDownloadUrlsResponse:
        run = RunName.parse(request.run, "run")
        return encode_downloads(await self._artifacts.downloads(run, decode_paths(request.paths)))

    async def ReadArtifact(self, request: messages.ReadArtifactRequest, context: Any) -> None:  # type: ignore[override]
        run, path = RunName.parse(request.run, "run"), check_path(request.path, "path")
        with self._transfers.reading():
            artifact, pieces = await self._artifacts.read(run, path, *decode_range(request))
            await send(context, messages.ReadArtifactResponse(artifact=encode_artifact(artifact)))
            async with aclosing(pieces):
                async for piece in pieces:
                    await send(context, messages.ReadArtifactResponse(data=piece))

    async def BatchReadArtifacts(  # type: ignore[override]
        self, request: messages.BatchReadArtifactsRequest, context: Any
    ) -> None:
        run, paths = RunName.parse(request.run, "run"), decode_distinct_paths(request.paths)
        with self._transfers.reading():
            async with aclosing(self._batches.read(run, paths)) as pieces:
                async for some in pieces:
                    await send(context, encode_small(some))

    async def DeleteArtifacts(
        self, request: messages.DeleteArtifactsRequest, _: object
    ) -> messages.DeleteArtifactsResponse:
        run, (paths, prefix) = RunName.parse(request.run, "run"), decode_deletion(request)
        count = await (self._artifacts.delete(run, paths) if paths else self._artifacts.delete_all(run, prefix))
        return messages.DeleteArtifactsResponse(deleted_count=count)
