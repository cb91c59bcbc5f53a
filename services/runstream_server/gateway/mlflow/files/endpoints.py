"""Endpoints that move files, and those that list them."""

from collections.abc import Sequence

from aiohttp import hdrs, web

from runstream_server.auth import Role
from runstream_server.gateway.lasting import to_its_end
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint, RawEndpoint, answered
from runstream_server.gateway.mlflow.errors import wrong
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.mlflow.files.bindings import bind, delete
from runstream_server.gateway.mlflow.files.downloads import ArtifactDownloads
from runstream_server.gateway.mlflow.files.listings import ArtifactListings
from runstream_server.gateway.mlflow.files.paths import Location, asked_location, checked_path, read_location
from runstream_server.gateway.mlflow.files.places import ArtifactPlaces, Place
from runstream_server.gateway.mlflow.files.uploads import ArtifactUploads, Body
from runstream_server.gateway.mlflow.runs.documents import artifact_uri
from runstream_server.gateway.mlflow.runs.finding import asked_run_id, get_run
from runstream_server.gateway.visitors import Visitor
from runstream_server.names import RunName

_BASES = ("/api/2.0/mlflow-artifacts/artifacts", "/ajax-api/2.0/mlflow-artifacts/artifacts")


class ArtifactEndpoints:
    """Takes, sends, lists and deletes the files of runs and of logged models."""

    def __init__(
        self,
        experiments: KnownExperiments,
        places: ArtifactPlaces,
        listings: ArtifactListings,
        uploads: ArtifactUploads,
        downloads: ArtifactDownloads,
    ) -> None:
        self._experiments = experiments
        self._places = places
        self._listings = listings
        self._uploads = uploads
        self._downloads = downloads

    def endpoints(self) -> Sequence[Endpoint | RawEndpoint]:
        """`mlflow-artifacts` and `artifacts/list`."""
        raw = [
            each
            for base in _BASES
            for each in (
                RawEndpoint("GET", base, self._list, Role.READER),
                RawEndpoint("GET", f"{base}/{{path:(?s:.*)}}", self._read, Role.READER),
                RawEndpoint("PUT", f"{base}/{{path:(?s:.*)}}", self._write, Role.WRITER),
                RawEndpoint("DELETE", f"{base}/{{path:(?s:.*)}}", self._delete, Role.WRITER),
            )
        ]
        return [*raw, Endpoint("GET", "artifacts/list", self._list_run, Role.READER)]

    async def _list(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        place = await self._places.find(visitor, asked_location(request.query.get("path", "")))
        entries = await self._listings.everything(visitor, place)
        return answered({"files": [each.shown(each.path.rpartition("/")[2]) for each in entries]})

    async def _read(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        return await self._downloads.send(visitor, request, await self._places.find(visitor, _file_asked(request)))

    async def _write(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        place = await self._places.find(visitor, _file_asked(request), to_write=True)
        is_as_sent = hdrs.CONTENT_ENCODING not in request.headers
        body = Body(request.content, request.content_length if is_as_sent else None)
        digest = await self._uploads.store(visitor, body)
        await to_its_end(bind(visitor, place, digest))  # between the old file and the new one there is none
        return answered({})

    async def _delete(self, visitor: Visitor, request: web.Request) -> web.StreamResponse:
        place = await self._places.find(visitor, _asked(request), to_write=True)
        await delete(visitor, self._listings, place)
        return answered({})

    async def _list_run(self, visitor: Visitor, fields: Fields) -> Answer:
        run_id, path = asked_run_id(fields), checked_path(fields.text_or("path", ""))
        run = await get_run(visitor, run_id)
        number = await self._experiments.number_of_run(visitor, run)
        place = Place(RunName.parse(run.name), "", path)
        entries, token = await self._listings.page(visitor, place, fields.text_or("page_token", ""))
        return {
            "root_uri": artifact_uri(number, run_id),
            "files": [each.shown(each.path) for each in entries],
            **({"next_page_token": token} if token else {}),
        }


def _asked(request: web.Request) -> Location:
    """What the path of a URL names; as it was sent, since what decoded it may have hidden where it leads."""
    _, _, raw = request.rel_url.raw_path.partition("/mlflow-artifacts/artifacts/")
    return read_location(raw)


def _file_asked(request: web.Request) -> Location:
    location = _asked(request)
    if not location.path:
        raise wrong("Invalid path: expected that of a file, below `artifacts`")
    return location
