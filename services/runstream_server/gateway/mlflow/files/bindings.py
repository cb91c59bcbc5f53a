"""Makes paths of runs have other bytes, or none."""

from collections.abc import Sequence

import grpc

from runstream.api.artifacts.v1 import artifact_service_pb2 as messages
from runstream_server.gateway.mlflow.files.listings import ArtifactListings
from runstream_server.gateway.mlflow.files.places import Place
from runstream_server.gateway.refusals import Refusal
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_REPLACING_ATTEMPTS = 100
"""Each time another request was first, so that there are as many of them at the same time."""
_DELETED_AT_ONCE = 1_000


async def bind(visitor: Visitor, place: Place, digest: str) -> None:
    """Makes a file have the bytes of a blob, whatever it had before; raises Refusal."""
    binding = messages.ArtifactBinding(path=place.whole_path, digest=digest)
    request = messages.BindArtifactsRequest(run=str(place.run), bindings=[binding])
    for left in reversed(range(_REPLACING_ATTEMPTS)):
        try:
            await visitor.call(visitor.services.artifacts.BindArtifacts, request, messages.BindArtifactsResponse)
        except Refusal as refusal:
            if refusal.code is not grpc.StatusCode.ALREADY_EXISTS or not left:
                raise
            await _delete(visitor, place.run, paths=[place.whole_path])
        else:
            return


async def delete(visitor: Visitor, listings: ArtifactListings, place: Place) -> None:
    """Deletes a file, or a folder with all that listings show in it: logged models stay. None: nothing happens."""
    if place.path:
        await _delete(visitor, place.run, paths=[place.whole_path])
    if place.root or place.path not in ("", "models"):
        await _delete(visitor, place.run, prefix=place.folder)
        return
    entries = await listings.everything(visitor, place)
    files = [entry.path for entry in entries if entry.size_bytes is not None]
    for start in range(0, len(files), _DELETED_AT_ONCE):
        await _delete(visitor, place.run, paths=files[start : start + _DELETED_AT_ONCE])
    for entry in entries:
        if entry.size_bytes is None:
            await delete(visitor, listings, Place(place.run, "", entry.path))


async def _delete(visitor: Visitor, run: RunName, *, paths: Sequence[str] = (), prefix: str = "") -> None:
    request = messages.DeleteArtifactsRequest(run=str(run), paths=paths, prefix=prefix)
    await visitor.call(visitor.services.artifacts.DeleteArtifacts, request, messages.DeleteArtifactsResponse)
