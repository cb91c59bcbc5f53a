"""A file waits for a token that is renewed, as it does for services that are away."""

import asyncio
from pathlib import Path
from typing import Any

from runstream._spool.artifacts import IMAGE, Artifact
from runstream._spool.events import Refusal
from runstream._uplink.append import Stopped
from runstream._uplink.artifacts import Artifacts
from runstream._uplink.followers import Client
from runstream.api.artifacts.v1.artifact_service_pb2 import FindMissingBlobsResponse
from runstream.api.metrics.v1.metrics_service_pb2 import LogMetricsResponse
from runstream.exceptions import AuthenticationException

ANSWERS = {"FindMissingBlobs": FindMissingBlobsResponse(), "BindArtifacts": None, "LogMetrics": LogMetricsResponse()}


class Services:
    """Services that refuse the first calls."""

    def __init__(self, refused_calls: int) -> None:
        self._refused_calls = refused_calls
        self.artifacts = self.metrics = self

    def __getattr__(self, method: str) -> str:
        return method

    async def call(self, method: str, request: Any, **options: object) -> Any:
        self._refused_calls -= 1
        if self._refused_calls >= 0:
            raise AuthenticationException("The token has expired.", reason="TOKEN_EXPIRED")
        return ANSWERS[method]


class Attendant:
    """Notes what is not stored."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []

    def take_refusal(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def stop(self, stopped: Stopped) -> None:
        raise stopped


async def test_a_file_is_kept_until_the_token_is_renewed(tmp_path: Path) -> None:
    (tmp_path / "1").write_bytes(b"a")
    attendant = Attendant()
    client = Client("0" * 32, "workspaces/space/runs/run", Services(2), None, "0" * 32)  # type: ignore[arg-type]
    artifacts = Artifacts(client, tmp_path, attendant, lambda: True)
    artifacts.add(Artifact(1, "image", IMAGE, "a.png", 1, ""))
    sending = asyncio.create_task(artifacts.send())
    async with asyncio.timeout(30.0):
        await artifacts.reach()
    sending.cancel()

    assert attendant.refusals == []
    assert not (tmp_path / "1").exists()
