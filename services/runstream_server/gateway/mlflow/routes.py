"""The table of endpoints."""

from collections.abc import Callable, Sequence
from datetime import datetime

from aiohttp import web

from runstream_server.gateway.mlflow.bodies import Bodies
from runstream_server.gateway.mlflow.endpoint import (
    Endpoint,
    Handling,
    RawEndpoint,
    json_handler,
    raw_handler,
    unknown_endpoint,
)
from runstream_server.gateway.mlflow.experiments.changes import ExperimentChanges
from runstream_server.gateway.mlflow.experiments.endpoints import ExperimentEndpoints
from runstream_server.gateway.mlflow.experiments.known import KnownExperiments
from runstream_server.gateway.mlflow.experiments.searching import ExperimentSearch
from runstream_server.gateway.mlflow.files.downloads import ArtifactDownloads
from runstream_server.gateway.mlflow.files.endpoints import ArtifactEndpoints
from runstream_server.gateway.mlflow.files.listings import ArtifactListings
from runstream_server.gateway.mlflow.files.places import ArtifactPlaces
from runstream_server.gateway.mlflow.files.spool import SpoolRoom
from runstream_server.gateway.mlflow.files.uploads import ArtifactUploads
from runstream_server.gateway.mlflow.metrics.endpoints import MetricEndpoints
from runstream_server.gateway.mlflow.metrics.writers import MetricWriters
from runstream_server.gateway.mlflow.models.endpoints import LoggedModelEndpoints
from runstream_server.gateway.mlflow.models.known import KnownModels
from runstream_server.gateway.mlflow.models.metrics import ModelMetrics
from runstream_server.gateway.mlflow.registry.known import registry_endpoints
from runstream_server.gateway.mlflow.runs.endpoints import RunEndpoints
from runstream_server.gateway.mlflow.runs.inputs import InputEndpoints
from runstream_server.gateway.mlflow.runs.logging_endpoints import LoggingEndpoints
from runstream_server.gateway.mlflow.runs.searching import RunSearch
from runstream_server.gateway.mlflow.server_info import ServerInfo
from runstream_server.gateway.store.experiments import ExperimentStore
from runstream_server.gateway.store.inputs import InputStore
from runstream_server.gateway.store.logged_models import LoggedModelStore
from runstream_server.gateway.visitors import Visitors
from runstream_server.gateway_config import GatewayConfig
from runstream_server.platform import Platform
from runstream_server.postgres import Postgres

_PREFIXES = ("", "/workspaces/{workspace}")
"""The workspace is that of the token, or in the path."""


def add_mlflow(application: web.Application, visitors: Visitors, platform: Platform) -> None:
    """Adds all endpoints to an application."""
    bodies = Bodies()
    for each in known_endpoints(platform.postgres, platform.config.gateway, platform.now):
        for path in _paths(each):
            application.router.add_route(each.method, path, _handler(each, visitors, bodies))
    application.router.add_route("*", "/{rest:(?s:.*)}", unknown_endpoint)


def _handler(endpoint: Endpoint | RawEndpoint, visitors: Visitors, bodies: Bodies) -> Handling:
    if isinstance(endpoint, RawEndpoint):
        return raw_handler(endpoint, visitors)
    return json_handler(endpoint, visitors, bodies)


def known_endpoints(
    postgres: Postgres, settings: GatewayConfig, now: Callable[[], datetime]
) -> Sequence[Endpoint | RawEndpoint]:
    """All endpoints, each once, however many paths lead to it."""
    store, models = ExperimentStore(postgres), LoggedModelStore(postgres)
    experiments, known_models, inputs = KnownExperiments(store), KnownModels(models), InputStore(postgres)
    listings, places = ArtifactListings(models), ArtifactPlaces(experiments, known_models)
    room = SpoolRoom(settings.spool_bytes)
    return [
        *ServerInfo(settings.mlflow_version).endpoints(),
        *ExperimentEndpoints(experiments, ExperimentChanges(experiments, store)).endpoints(),
        *ExperimentSearch(experiments).endpoints(),
        *RunEndpoints(experiments, inputs).endpoints(),
        *RunSearch(experiments, inputs).endpoints(),
        *LoggingEndpoints(MetricWriters(), ModelMetrics(known_models, models)).endpoints(),
        *MetricEndpoints().endpoints(),
        *InputEndpoints(inputs).endpoints(),
        *ArtifactEndpoints(experiments, places, listings, ArtifactUploads(room), ArtifactDownloads(room)).endpoints(),
        *LoggedModelEndpoints(models, experiments, listings, now).endpoints(),
        *registry_endpoints(postgres, known_models, now),
    ]


def _paths(endpoint: Endpoint | RawEndpoint) -> Sequence[str]:
    """Where an endpoint is found: also where the page of MLflow itself looks for it."""
    if isinstance(endpoint, RawEndpoint):
        return [prefix + endpoint.path for prefix in _PREFIXES]
    bases = (f"/api/{endpoint.version}/mlflow", f"/ajax-api/{endpoint.version}/mlflow")
    return [f"{prefix}{base}/{endpoint.path}" for prefix in _PREFIXES for base in bases]
