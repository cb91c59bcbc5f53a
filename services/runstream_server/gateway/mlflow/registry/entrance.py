"""Lets requests to the registry of a workspace that exists."""

from dataclasses import replace
from datetime import UTC

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from runstream_server.gateway.mlflow.endpoint import Answer, Endpoint
from runstream_server.gateway.mlflow.fields import Fields
from runstream_server.gateway.store.registries import RegistryStore
from runstream_server.gateway.visitors import Visitor


class Entrance:
    """Asks the run history for the workspace, as nothing else here would: the registry is in the gateway alone."""

    def __init__(self, store: RegistryStore) -> None:
        self._store = store

    def before(self, endpoint: Endpoint) -> Endpoint:
        """The same endpoint, for workspaces that exist."""

        async def answer(visitor: Visitor, fields: Fields) -> Answer:
            await self._enter(visitor)
            return await endpoint.answer(visitor, fields)

        return replace(endpoint, answer=answer)

    async def _enter(self, visitor: Visitor) -> None:
        request = messages.GetWorkspaceRequest(name=str(visitor.workspace))
        response = await visitor.call(visitor.services.runs.GetWorkspace, request, messages.GetWorkspaceResponse)
        await self._store.enter(visitor.workspace.workspace, response.workspace.create_time.ToDatetime(UTC))
