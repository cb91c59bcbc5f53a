"""Moves the files of runs and models through the gateway as clients of MLflow do."""

from collections.abc import Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import Any
from urllib.parse import quote

from yarl import URL

from tests.gateways import Answered, Gateway

FILES = "/api/2.0/mlflow-artifacts/artifacts"


@dataclass(frozen=True)
class Files:
    """The files of a run, or of a model."""

    gateway: Gateway

    root: str
    """`0/RUN/artifacts` for example."""

    async def ask(self, method: str, path: str, **options: Any) -> tuple[int, bytes, Mapping[str, str]]:
        """Sends a request for a path as it is, `%` and dots included."""
        url = URL(f"{self.gateway.url}{FILES}/{path}", encoded=True)
        async with self.gateway.session.request(method, url, **options) as response:
            return response.status, await response.read(), response.headers

    async def put(self, path: str, data: Any) -> Answered:
        """Sends a file."""
        body = BytesIO(data) if isinstance(data, bytes) else data
        return await self.gateway.request("PUT", f"{FILES}/{self.root}/{quote(path)}", data=body)

    async def get(self, path: str, **headers: str) -> tuple[int, bytes, Mapping[str, str]]:
        """Gets a file, or a range of it."""
        return await self.ask("GET", f"{self.root}/{quote(path)}", headers=headers)

    async def content(self, path: str) -> bytes:
        """The bytes of a file that must be there."""
        status, data, _ = await self.get(path)
        assert status == 200, data
        return data

    async def delete(self, path: str) -> Answered:
        """Deletes a file, or a folder."""
        return await self.gateway.request("DELETE", f"{FILES}/{self.root}/{quote(path)}".rstrip("/"))

    async def listed(self, path: str = "") -> list[tuple[str, int | None]]:
        """What a folder has: names, and sizes of files."""
        asked = {"path": f"{self.root}/{path}".rstrip("/")}
        answer = await self.gateway.request("GET", FILES, params=asked)
        return [(each["path"], each.get("file_size")) for each in answer.found()["files"]]


async def files_of(gateway: Gateway, run_id: str) -> Files:
    """The files of a run."""
    uri = (await gateway.get("artifacts/list", run_id=run_id)).found()["root_uri"]
    return Files(gateway, uri.removeprefix("mlflow-artifacts:/"))
