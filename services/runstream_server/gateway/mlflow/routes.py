"""The table of endpoints."""

from collections.abc import Sequence

from aiohttp import web

from runstream_server.gateway.mlflow.endpoint import (
    Endpoint,
    RawEndpoint,
    json_handler,
    raw_handler,
    unknown_endpoint,
)
from runstream_server.gateway.mlflow.server_info import ServerInfo
from runstream_server.gateway.visitors import Visitors
from runstream_server.platform import Platform

_PREFIXES = ("", "/workspaces/{workspace}")
"""The workspace is that of the token, or in the path."""


def add_mlflow(application: web.Application, visitors: Visitors, platform: Platform) -> None:
    """Adds all endpoints to an application."""
    for each in _endpoints(platform):
        for path in _paths(each):
            handler = raw_handler(each, visitors) if isinstance(each, RawEndpoint) else json_handler(each, visitors)
            application.router.add_route(each.method, path, handler)
    application.router.add_route("*", "/{rest:.*}", unknown_endpoint)


def _endpoints(platform: Platform) -> Sequence[Endpoint | RawEndpoint]:
    return [*ServerInfo(platform.config.gateway.mlflow_version).endpoints()]


def _paths(endpoint: Endpoint | RawEndpoint) -> Sequence[str]:
    """Where an endpoint is found: also where the page of MLflow itself looks for it."""
    if isinstance(endpoint, RawEndpoint):
        return [prefix + endpoint.path for prefix in _PREFIXES]
    bases = (f"/api/{endpoint.version}/mlflow", f"/ajax-api/{endpoint.version}/mlflow")
    return [f"{prefix}{base}/{endpoint.path}" for prefix in _PREFIXES for base in bases]
