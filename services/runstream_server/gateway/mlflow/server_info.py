"""What clients ask about the server itself."""

from collections.abc import Sequence

from aiohttp import web

from runstream_server.auth import Role
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint, RawEndpoint
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.visitors import Visitor


class ServerInfo:
    """Says which version of MLflow this is like, and which of its optional features there are."""

    def __init__(self, version: str) -> None:
        self._version = version

    def endpoints(self) -> Sequence[Endpoint | RawEndpoint]:
        """`/version` and `server-info`."""
        return [
            RawEndpoint("GET", "/version", self._tell_version, Role.READER),
            Endpoint("GET", "server-info", self._tell_features, Role.READER, version="3.0"),
        ]

    async def _tell_version(self, visitor: Visitor, request: web.Request) -> web.Response:
        return web.Response(text=self._version)

    async def _tell_features(self, visitor: Visitor, fields: Fields) -> Answer:
        return {
            "store_type": "SqlStore",
            "workspaces_enabled": False,
            "trace_archival_enabled": False,
            "multipart_uploads_enabled": False,
            "multipart_downloads_enabled": False,
            "presigned_upload_run_id_supported": False,
            "presigned_upload_model_id_supported": False,
            "features_enabled": {},
        }
