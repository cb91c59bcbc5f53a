"""Makes logged models as clients of MLflow do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import grpc

from runstream_server.config import Config
from runstream_server.gateway.mlflow.models.known import KnownModels
from runstream_server.gateway.mlflow.models.metrics import ModelMetrics
from runstream_server.gateway.store.logged_models import LoggedModelStore
from runstream_server.gateway.visitors import Services, Visitor
from runstream_server.names import WorkspaceName
from runstream_server.postgres import open_postgres
from tests.gateway_files import Files
from tests.gateways import Gateway


@dataclass(frozen=True)
class Logged:
    """A value of a metric that says something about a model."""

    key: str
    value: float
    model_id: str
    step: int = 0
    timestamp: int = 1
    dataset_name: str = ""
    dataset_digest: str = ""


@dataclass(frozen=True)
class Models:
    """The logged models of an experiment."""

    gateway: Gateway
    experiment_id: str

    async def make(self, **fields: Any) -> str:
        """Makes a model; returns its id."""
        answer = await self.gateway.post("logged-models", **({"experiment_id": self.experiment_id} | fields))
        return str(answer.found()["model"]["info"]["model_id"])

    async def get(self, model_id: str) -> dict[str, Any]:
        """A model as it is now: info and data in one."""
        model = (await self.gateway.get(f"logged-models/{model_id}")).found()["model"]
        return {**model["info"], **model["data"]}

    async def search(self, filter: str = "", **fields: Any) -> list[str]:  # noqa: A002 - as the parameter is called
        """The names of all models that a search finds, page after page."""
        names, token = [], ""
        while True:
            page = await self.page(filter, page_token=token, **fields)
            names += [model["info"]["name"] for model in page["models"]]
            token = page.get("next_page_token", "")
            if not token:
                return names

    async def page(self, filter: str = "", **fields: Any) -> dict[str, Any]:  # noqa: A002
        """One page of a search."""
        asked = {"experiment_ids": [self.experiment_id], "filter": filter} | fields
        found: dict[str, Any] = (await self.gateway.post("logged-models/search", **asked)).found()
        return found

    def files(self, model_id: str) -> Files:
        """The files of a model."""
        return Files(self.gateway, f"{self.experiment_id}/models/{model_id}/artifacts")


@asynccontextmanager
async def model_metrics(config: Config, channel: grpc.aio.Channel) -> AsyncIterator[tuple[ModelMetrics, Visitor]]:
    """What the endpoints that log metrics call, and who calls them."""
    async with open_postgres(config.postgres) as postgres:
        store = LoggedModelStore(postgres)
        visitor = Visitor(WorkspaceName("space"), Services(channel), None)
        yield ModelMetrics(KnownModels(store), store), visitor
