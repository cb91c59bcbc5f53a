"""Puts the model registry together."""

from collections.abc import Callable, Sequence
from datetime import datetime

from runstream_server.gateway.mlflow.endpoint import Endpoint
from runstream_server.gateway.mlflow.models.known import KnownModels
from runstream_server.gateway.mlflow.registry.entrance import Entrance
from runstream_server.gateway.mlflow.registry.models import RegisteredModelEndpoints
from runstream_server.gateway.mlflow.registry.searching import RegistrySearch
from runstream_server.gateway.mlflow.registry.sources import ModelSources
from runstream_server.gateway.mlflow.registry.versions import ModelVersionEndpoints
from runstream_server.gateway.store.model_versions import ModelVersionStore
from runstream_server.gateway.store.new_versions import NewVersionStore
from runstream_server.gateway.store.registered_models import RegisteredModelStore
from runstream_server.gateway.store.registries import RegistryStore
from runstream_server.postgres import Postgres


def registry_endpoints(postgres: Postgres, logged: KnownModels, now: Callable[[], datetime]) -> Sequence[Endpoint]:
    """`registered-models/...` and `model-versions/...`."""
    versions = ModelVersionStore(postgres)
    models = RegisteredModelStore(postgres, versions)
    sources, search = ModelSources(models, versions, logged), RegistrySearch(models, versions)
    entrance = Entrance(RegistryStore(postgres))

    def now_ms() -> int:
        return int(now().timestamp() * 1_000)

    endpoints = [
        *RegisteredModelEndpoints(models, sources, search, now_ms).endpoints(),
        *ModelVersionEndpoints(versions, NewVersionStore(postgres), sources, search, now_ms).endpoints(),
    ]
    return [entrance.before(each) for each in endpoints]
