"""Talks to the gateway by HTTP as clients of MLflow do."""

import io
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

import aiohttp
import grpc

from runstream.api.runs.v1 import run_history_service_pb2 as messages
from tests.stubs import run_history

API = "/api/2.0/mlflow"


@dataclass(frozen=True)
class Answered:
    """What came back."""

    status: int
    body: Any
    """JSON, or the text where it is none."""

    headers: Mapping[str, str]

    @property
    def error(self) -> tuple[int, str, str]:
        """The status, the error code and the message."""
        return self.status, self.body["error_code"], self.body["message"]

    def found(self) -> Any:
        """The JSON of an answer that must be good."""
        assert self.status == 200, self.body
        return self.body


@dataclass(frozen=True)
class Gateway:
    """The gateway, for one workspace."""

    url: str
    """What `mlflow.set_tracking_uri` takes."""

    session: aiohttp.ClientSession

    async def request(self, method: str, path: str, **options: Any) -> Answered:
        """Sends a request to a path below the URL."""
        async with self.session.request(method, self.url + path, **options) as response:
            text = await response.text(errors="replace")
            is_json = response.content_type == "application/json"
            return Answered(response.status, await response.json() if is_json else text, response.headers)

    async def post(self, endpoint: str, method: str = "POST", **body: Any) -> Answered:
        """Sends a JSON object to an endpoint, `runs/create` for example."""
        return await self.request(method, f"{API}/{endpoint}", json=body)

    async def post_large(self, endpoint: str, **body: Any) -> Answered:
        """Sends a JSON object that may be larger than 1 MiB to an endpoint."""
        sent = io.BytesIO(json.dumps(body).encode())
        return await self.request("POST", f"{API}/{endpoint}", data=sent, headers={"Content-Type": "application/json"})

    async def get(self, endpoint: str, **query: Any) -> Answered:
        """Asks an endpoint; lists repeat their parameter."""
        pairs = [(name, str(each)) for name, value in query.items() for each in _each(value)]
        return await self.request("GET", f"{API}/{endpoint}", params=pairs)

    def showing(self, session: aiohttp.ClientSession) -> "Gateway":
        """The same gateway by another session, which shows something else."""
        return replace(self, session=session)


def _each(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


async def gateway_url(channel: grpc.aio.Channel, workspace: str = "space") -> str:
    """Where the gateway serves a workspace, which is made unless it is there."""
    request = messages.CreateWorkspaceRequest(workspace_id=workspace, return_existing=True)
    response = await run_history(channel).CreateWorkspace(request, timeout=20)
    return response.workspace.gateway_url


@asynccontextmanager
async def open_gateway(channel: grpc.aio.Channel, workspace: str = "space", secret: str = "") -> AsyncIterator[Gateway]:
    """The gateway of the services that a channel leads to; `secret` is shown as `Bearer`."""
    headers = {"Authorization": f"Bearer {secret}"} if secret else {}
    async with aiohttp.ClientSession(headers=headers) as session:
        yield Gateway(await gateway_url(channel, workspace), session)
