"""A file waits for what passes: a token that is refused, and bytes that the services did not keep so long."""

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
from runstream.exceptions import AuthenticationException, AzureMLException, UserErrorException

ANSWERS = {"FindMissingBlobs": FindMissingBlobsResponse(), "BindArtifacts": None, "LogMetrics": LogMetricsResponse()}


class Services:
    """Services that answer the first calls with errors, or as they should."""

    def __init__(self, *errors: AzureMLException | None) -> None:
        self._errors = iter(errors)
        self.artifacts = self.metrics = self
        self.calls: list[str] = []

    def __getattr__(self, method: str) -> str:
        return method

    async def call(self, method: str, request: Any, **options: object) -> Any:
        self.calls.append(method)
        if error := next(self._errors, None):
            raise error
        return ANSWERS[method]


class Attendant:
    """Notes what is not stored."""

    def __init__(self) -> None:
        self.refusals: list[Refusal] = []
        self.stops: list[str] = []

    def take_refusal(self, refusal: Refusal) -> None:
        self.refusals.append(refusal)

    def stop(self, stopped: Stopped) -> None:
        self.stops.append(stopped.reason)


EXPIRED = AuthenticationException("The token has expired.", reason="TOKEN_EXPIRED")
FROM_A_PROXY = AuthenticationException("Who are you?")
COLLECTED = UserErrorException("The workspace has no such blob.", reason="BLOB_MISSING")


async def sent(services: Services, folder: Path) -> Attendant:
    """Sends one file; who was told of it."""
    (folder / "1").write_bytes(b"a")
    attendant = Attendant()
    client = Client("0" * 32, "workspaces/space/runs/run", services, None, "0" * 32)  # type: ignore[arg-type]
    artifacts = Artifacts(client, folder, attendant, lambda: True)
    artifacts.add(Artifact(1, "image", IMAGE, "a.png", 1, ""))
    sending = asyncio.create_task(artifacts.send())
    async with asyncio.timeout(30.0):
        await artifacts.reach()
    sending.cancel()
    return attendant


async def test_a_file_is_kept_where_its_token_is_refused_and_that_is_told(tmp_path: Path) -> None:
    told = await sent(Services(EXPIRED, EXPIRED), tmp_path)

    assert (told.refusals, told.stops) == ([], ["TOKEN_EXPIRED"])
    assert (tmp_path / "1").exists()


async def test_a_file_waits_until_what_is_in_between_lets_it_pass(tmp_path: Path) -> None:
    told = await sent(Services(FROM_A_PROXY, FROM_A_PROXY), tmp_path)

    assert (told.refusals, told.stops) == ([], [])
    assert not (tmp_path / "1").exists()


async def test_bytes_that_were_collected_before_they_got_a_name_are_sent_again(tmp_path: Path) -> None:
    services = Services(None, COLLECTED)

    assert (await sent(services, tmp_path)).refusals == []
    assert services.calls == ["FindMissingBlobs", "BindArtifacts"] * 2 + ["LogMetrics"]
